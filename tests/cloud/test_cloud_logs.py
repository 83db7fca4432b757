"""No access token reaches the log."""

from __future__ import annotations

import logging

import pytest

from baywatt_cloud.kit.logs import WithoutTokens


def test_a_websockets_address_is_logged_without_its_token(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("test-uvicorn")
    logger.addFilter(WithoutTokens())
    with caplog.at_level(logging.INFO):
        url = "/charging/sessions/s1/live?access_token=eyJhbGciOi.secret&x=1"
        logger.info('%s - "WebSocket %s" [accepted]', "127.0.0.1:5", url)
    assert "secret" not in caplog.text
    assert "/live?access_token=…&x=1" in caplog.text
