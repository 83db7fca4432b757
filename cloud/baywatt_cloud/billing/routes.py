"""/billing: invoices as JSON and PDF."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from baywatt_cloud.billing import service
from baywatt_cloud.billing.pdf import invoice_pdf
from baywatt_cloud.billing.schemas import InvoicePage, InvoiceView
from baywatt_cloud.kit.identity import CurrentUser
from baywatt_cloud.kit.paging import Cursor, next_cursor
from baywatt_cloud.kit.problems import NotFoundError, UnauthorisedError, responses
from baywatt_cloud.kit.services import ReadDb
from baywatt_cloud.kit.transactional import TransactionalRoute

router = APIRouter(prefix="/billing", tags=["billing"], route_class=TransactionalRoute)

Id = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f]+$")]
SessionQuery = Annotated[str | None, Query(min_length=1, max_length=36, pattern=r"^[^\x00-\x1f]+$")]
Limit = Annotated[int, Query(ge=1, le=100)]
_SEE = responses(UnauthorisedError, NotFoundError)


@router.get("/invoices", responses=responses(UnauthorisedError))
async def invoices(
    person: CurrentUser, db: ReadDb, cursor: Cursor, session_id: SessionQuery = None,
    limit: Limit = 20,
) -> InvoicePage:  # fmt: skip
    """My invoices (operators: all), newest first; `session_id` finds the one of a session."""
    rows = await service.list_for(db, person, session_id=session_id, limit=limit + 1, offset=cursor)
    items = [service.summary(*row) for row in rows[:limit]]
    return InvoicePage(items=items, next=next_cursor(cursor, limit, len(rows)))


@router.get(
    "/invoices/{invoice_id}.pdf",
    response_class=Response,
    responses={**_SEE, 200: {"content": {"application/pdf": {}}, "description": "One page"}},
)
async def invoice_as_pdf(invoice_id: Id, person: CurrentUser, db: ReadDb) -> Response:
    """The invoice as one page of PDF."""
    invoice, payment = await service.one_for(db, person, invoice_id)
    name = f"inline; filename={invoice.body['number']}.pdf"
    return Response(
        invoice_pdf(invoice, payment),
        media_type="application/pdf",
        headers={"Content-Disposition": name},
    )


@router.get("/invoices/{invoice_id}", responses=_SEE)
async def invoice(invoice_id: Id, person: CurrentUser, db: ReadDb) -> InvoiceView:
    """An invoice of mine: each line with its tariff clause and its meter readings."""
    return await service.view(db, *await service.one_for(db, person, invoice_id))
