"""Messages that we send, and how far each has come: GET /api/messages."""

from datetime import datetime
from typing import Annotated

import pydantic
from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field

from detector import messages, ports
from detector.api import auth, paging, problems


class MessagesQuery(pydantic.BaseModel):
    """Which messages are wanted."""

    model_config = pydantic.ConfigDict(extra="forbid")

    state: messages.State | None = None
    recipient: str | None = Field(
        None, max_length=50, description="A number, as +491701234567, or a name of `notify`."
    )
    cursor: paging.Cursor = None
    limit: int = Field(100, ge=1, le=1000, description="Messages of a page.")

    def wanted(self) -> messages.Filter:
        """The same for the store."""
        return messages.Filter(
            state=self.state, recipient=self.recipient, before_id=self.cursor, limit=self.limit
        )


class Message(pydantic.BaseModel):
    """One SMS to one person, or one message to a service."""

    id: int
    recipient: str
    text: str
    parts: int = Field(description="Segments that it is sent in.")
    severity: str
    state: messages.State
    reason: str = Field(description="Why it is not further; empty if all is well.")
    created_at: datetime
    due_at: datetime = Field(description="Sent then, or later.")
    updated_at: datetime
    attempts: int = Field(description="Times that it was handed to a provider.")
    provider: str
    provider_id: str
    price: float
    follows_id: int | None = Field(description="The message in whose place it was sent.")


class Event(pydantic.BaseModel):
    """A change of its state."""

    at: datetime
    state: messages.State
    provider: str
    reason: str


class MessageEvents(pydantic.BaseModel):
    """All that a message has been, in order."""

    events: list[Event]


class MessagePage(pydantic.BaseModel):
    """Messages, newest first."""

    messages: list[Message]
    next_cursor: str | None = Field(description="null on the last page.")


def router(store: ports.MessageStore, guards: auth.Guards) -> APIRouter:
    """The route, for operators: numbers are personal."""
    routes = APIRouter(prefix="/api/messages", tags=["messages"])

    @routes.get("", dependencies=[Depends(guards.operator)])
    def list_messages(query: Annotated[MessagesQuery, Query()]) -> MessagePage:
        """SMS, and messages by `notify`, newest first, in pages."""
        page = store.list_messages(query.wanted())
        return MessagePage(
            messages=[
                Message(**{name: getattr(each, name) for name in Message.model_fields})
                for each in page.messages
            ],
            next_cursor=None if page.next_id is None else paging.cursor_after(page.next_id),
        )

    @routes.get("/{message_id}/events", dependencies=[Depends(guards.operator)])
    def list_events(
        message_id: Annotated[int, Path(ge=1, le=paging.LARGEST_ID)],
    ) -> MessageEvents:
        """What became of one message, step by step."""
        found = store.events(message_id)
        if not found:
            raise problems.Problem(404, f"message {message_id}: none has this id")
        return MessageEvents(
            events=[
                Event(at=each.at, state=each.state, provider=each.provider, reason=each.reason)
                for each in found
            ]
        )

    return routes
