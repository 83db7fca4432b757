"""Pages for drivers and operators: server-rendered, no build step, over the same services."""
