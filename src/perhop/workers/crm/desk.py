"""What callers' agents can do with contacts; the methods of :class:`Desk` are the worker's tools."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from pydantic import Field
from sqlalchemy import select

from perhop.tools.errors import ToolError
from perhop.tools.schema import Slot
from perhop.workers.crm.contacts import Reach, find, find_or_create, reach, unconfirmed
from perhop.workers.crm.tables import ContactRow, LeadRow, NoteRow
from perhop.workers.crm.telling import Telling
from perhop.workers.sdk import WorkerContext

__all__ = ["Desk"]

MAX_LISTED = 20

_CALLED = {"phone": "phone number", "email": "e-mail address"}

ContactId = Annotated[int, Field(ge=1, le=2**31 - 1), Slot(prompt="Which contact do you mean?")]
Email = Annotated[str, Field(min_length=3, max_length=254), Slot(prompt="What is your e-mail address?")]
Name = Annotated[str, Field(min_length=1, max_length=100), Slot(prompt="What is your name?")]
Phone = Annotated[
    str, Field(pattern=r"^\+?[0-9() .-]{7,24}$"), Slot(prompt="What is your phone number, area code first?")
]
Subject = Annotated[str, Field(min_length=1, max_length=200), Slot(prompt="What is it about?")]
Text = Annotated[str, Field(min_length=1, max_length=4000), Slot(prompt="What should I note?")]


class Desk:
    """Keeps contacts, leads and notes.

    Args:
        region: ISO 3166 code of the country whose numbers come without a country code.
        telling: who else is told; None for nobody.
        now: the time, with its zone.
    """

    def __init__(self, *, region: str, telling: Telling | None, now: Callable[[], datetime]) -> None:
        self._region = region
        self._telling = telling
        self._now = now

    async def find_contact(
        self, phone: Phone | None = None, email: Email | None = None, *, context: WorkerContext
    ) -> dict[str, object]:
        """Finds a contact by phone number or e-mail address, with the latest leads and notes.

        Args:
            phone: The phone number.
            email: The e-mail address.
        """
        contact = await find(context.session, context.tenant, reach(phone, email, region=self._region))
        if contact is None:
            return {"found": False, "summary": "I have nobody with these details yet."}
        leads = await context.session.scalars(
            select(LeadRow)
            .where(LeadRow.tenant == context.tenant, LeadRow.contact == contact.id)
            .order_by(LeadRow.id.desc())
            .limit(MAX_LISTED)
        )
        notes = await context.session.scalars(
            select(NoteRow)
            .where(NoteRow.tenant == context.tenant, NoteRow.contact == contact.id)
            .order_by(NoteRow.id.desc())
            .limit(MAX_LISTED)
        )
        return {
            "found": True,
            "summary": f"I have found {contact.name or 'the contact'}.",
            **_told(contact),
            "leads": [{"lead_id": lead.id, "subject": lead.subject, "details": lead.details} for lead in leads],
            "notes": [note.text for note in notes],
        }

    async def remember_contact(
        self,
        name: Name | None = None,
        phone: Phone | None = None,
        email: Email | None = None,
        *,
        context: WorkerContext,
    ) -> dict[str, object]:
        """Finds the contact with this phone number or e-mail address, or makes a new one.

        A known contact keeps the number and the address it has; others are noted for people to confirm.

        Args:
            name: The name.
            phone: The phone number.
            email: The e-mail address.
        """
        contact, new, claimed = await self._contact(name, phone, email, context)
        return {**_told(contact), "new": new, "unconfirmed": claimed}

    async def create_lead(
        self,
        subject: Subject,
        name: Name | None = None,
        phone: Phone | None = None,
        email: Email | None = None,
        details: Text | None = None,
        *,
        context: WorkerContext,
    ) -> dict[str, object]:
        """Notes that somebody is interested in something, and how to reach them.

        Args:
            subject: What it is about, in a few words.
            name: The name.
            phone: The phone number.
            email: The e-mail address.
            details: All that matters.
        """
        contact, _, claimed = await self._contact(name, phone, email, context)
        lead = LeadRow(
            tenant=context.tenant,
            contact=contact.id,
            subject=subject,
            details=details,
            call_id=context.call_id,
            created_at=self._now(),
        )
        context.session.add(lead)
        await context.session.flush()
        told = {"lead_id": lead.id, "subject": subject, **_told(contact), "unconfirmed": claimed}
        self._tell("lead.created", {**told, "details": details}, context)
        return told

    async def add_note(self, contact_id: ContactId, text: Text, *, context: WorkerContext) -> dict[str, object]:
        """Notes something about a contact.

        Args:
            contact_id: The number of the contact.
            text: What to note.
        """
        contact = await context.session.scalar(
            select(ContactRow).where(ContactRow.tenant == context.tenant, ContactRow.id == contact_id)
        )
        if contact is None:
            raise ToolError("There is no contact with this number. Find or remember the contact first.")
        note = await self._note(contact.id, text, context)
        return {"note_id": note.id, "contact_id": contact.id}

    async def _contact(
        self, name: str | None, phone: str | None, email: str | None, context: WorkerContext
    ) -> tuple[ContactRow, bool, dict[str, str]]:
        by = reach(phone, email, region=self._region)
        contact, new = await find_or_create(context.session, context.tenant, by, name=name, now=self._now())
        if new:
            self._tell("contact.created", _told(contact), context)
        return contact, new, await self._claim(contact, by, context)

    async def _claim(self, contact: ContactRow, by: Reach, context: WorkerContext) -> dict[str, str]:
        """Notes, once, what the caller said of how the contact is reached and the contact does not have."""
        claimed = unconfirmed(contact, by)
        if claimed:
            # Whoever notes the same at this moment is waited for.
            await context.session.refresh(contact, with_for_update=True)
        for field, said in claimed.items():
            text = f"A caller gave another {_CALLED[field]}, which nobody has confirmed: {said}"
            known = await context.session.scalar(
                select(NoteRow.id).where(
                    NoteRow.tenant == context.tenant, NoteRow.contact == contact.id, NoteRow.text == text
                )
            )
            if known is None:
                await self._note(contact.id, text, context)
        return claimed

    async def _note(self, contact: int, text: str, context: WorkerContext) -> NoteRow:
        note = NoteRow(
            tenant=context.tenant, contact=contact, text=text, call_id=context.call_id, created_at=self._now()
        )
        context.session.add(note)
        await context.session.flush()
        self._tell("note.created", {"note_id": note.id, "contact_id": contact, "text": text}, context)
        return note

    def _tell(self, kind: str, data: dict[str, object], context: WorkerContext) -> None:
        if self._telling is not None:
            self._telling.tell(kind, data, context)


def _told(contact: ContactRow) -> dict[str, object]:
    return {"contact_id": contact.id, "name": contact.name, "phone": contact.phone, "email": contact.email}
