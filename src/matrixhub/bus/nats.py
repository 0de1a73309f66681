"""JetStream as the hub uses it: publish with acknowledgement, read from a position, follow, count.

Reading is JetStream's batched direct get (NATS ADR-31), because a subscription is then a row and not a consumer in
the server; following is one ephemeral pull consumer. Why: design decision 4, docs/decisions/0004-reading-the-stream.md
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import re
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from matrixhub.bus.subjects import SENSORS_STREAM, SENSORS_SUBJECTS, STREAMS, SUBJECTS
from matrixhub.model.errors import BusError, EngineError, ForeignMessage, StreamFull
from matrixhub.model.subscription import SOURCES, Source
from matrixhub.observe import BusDisconnected, BusReconnected, MessagesStored, Observe, PublishRepeated
from matrixhub.ports import Appended, AppendFault, Bounds, EventMessage, Message, Outgoing, Page, StreamEnd

ITEMS_HEADER = "Matrix-Items"
ORIGIN_HEADER = "Matrix-Origin"
ID_HEADER = "Nats-Msg-Id"
EVENT_HEADER = "Matrix-Event"
"""The number of an event in the outbox."""

EXPECTED_SEQ_HEADER = "Nats-Expected-Last-Sequence"
BATCH_HEADER, BATCH_NUMBER_HEADER, BATCH_END_HEADER = "Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit"

CONNECT_WAIT_S = 10.0
INSTANT_MS_MAX = 9_223_372_036_854
"""The last instant the server can tell, in 2262: it counts nanoseconds in 64 bits, and one later finds everything."""

ANSWER_WAIT_S = 2.0
RETRY_WAIT_S = 0.2
FOLLOW_MESSAGES = 512
FOLLOW_BYTES = 8 * 1024 * 1024
FOLLOW_EXPIRES_S = 20.0
FOLLOW_HEARTBEAT_S = 2.0
CONSUMER_IDLE_S = 60.0

_STREAM_FULL = frozenset({10047, 10077, 10023})
"""Error codes of a stream or store at its limit: storage resources exceeded, maximum bytes exceeded, insufficient."""

_WRONG_LAST_SEQ = frozenset({10071, 10164})
"""Error codes that say that another sequence is the last one than was expected."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamSettings:
    """How a stream is kept."""

    replicas: int = 1
    size_bytes_max: int = 0
    duplicate_window_s: float = 120.0


_PULL_OVER = frozenset({"Batch Completed", "Message Size Exceeds MaxBytes"})
"""Ways of the server to say that a pull request has given all it may; the next one goes on."""


class _PublishError(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _PublishAnswer(msgspec.Struct):
    seq: int = 0
    error: _PublishError | None = None


_publish_answer = msgspec.json.Decoder(_PublishAnswer)

_Sending = tuple[str, bytes, dict[str, str]]
"""Subject, data and headers of a message."""


class _Replies:
    """One subscription for all answers; each request has a token of its own."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._prefix = client.new_inbox()
        self._numbers = itertools.count()
        self._handlers: dict[str, Callable[[Msg], None]] = {}

    async def start(self) -> None:
        await self._client.subscribe(
            f"{self._prefix}.*", cb=self._dispatch, pending_msgs_limit=0, pending_bytes_limit=0
        )

    async def _dispatch(self, message: Msg) -> None:
        handler = self._handlers.get(message.subject.rpartition(".")[2])
        if handler is not None:
            handler(message)

    @contextlib.contextmanager
    def expect(self, handler: Callable[[Msg], None]) -> Any:
        """An inbox whose messages go to the handler until the block ends."""
        token = str(next(self._numbers))
        self._handlers[token] = handler
        try:
            yield f"{self._prefix}.{token}"
        finally:
            del self._handlers[token]


class NatsBus:
    """The port `Bus` on one JetStream stream."""

    def __init__(
        self, client: Client, settings: StreamSettings, observe: Observe, *, stream: str, subjects: str
    ) -> None:
        self._client = client
        self._settings = settings
        self._observe = observe
        self._stream = stream
        self._subjects = subjects
        self._replies = _Replies(client)
        self._batches: bool | None = None
        self._batch_failed = False

    @property
    def connected(self) -> bool:
        """Whether there is a connection right now."""
        return bool(self._client.is_connected)

    async def start(self, *, create: bool) -> None:
        """Listen for answers and, with `create`, make sure the stream exists as configured. Raises BusError."""
        await self._replies.start()
        if not create:
            return
        config = self._stream_config()
        answer = await self._request(f"$JS.API.STREAM.CREATE.{self._stream}", config)
        if answer.get("error", {}).get("err_code") == 10058:  # it exists with other settings
            answer = await self._request(f"$JS.API.STREAM.UPDATE.{self._stream}", config)
        if "error" in answer:
            raise BusError(f"stream {self._stream}: {answer['error'].get('description')}")

    def _stream_config(self) -> Mapping[str, object]:
        return {
            "name": self._stream,
            "subjects": [self._subjects],
            "storage": "file",
            "retention": "limits",
            # A full stream takes nothing more; dropping the oldest would lose what nobody has counted.
            "discard": "new",
            "max_bytes": self._settings.size_bytes_max or -1,
            "max_msgs": -1,
            "max_age": 0,
            "max_consumers": -1,
            "num_replicas": self._settings.replicas,
            "duplicate_window": int(self._settings.duplicate_window_s * 1e9),
            "allow_direct": True,
            "allow_atomic": True,
        }

    async def publish(self, messages: Sequence[Outgoing]) -> Sequence[BaseException | None]:
        """Store the messages in order. See `Bus.publish`."""
        results: list[BaseException | None] = [None] * len(messages)
        waiting = list(range(len(messages)))
        started = time.perf_counter()
        while True:
            try:
                answers = await self._publish_once([_outgoing_message(messages[i]) for i in waiting])
            except BusError as error:
                self._observe(PublishRepeated(messages=len(waiting), error=error.message))
                await asyncio.sleep(RETRY_WAIT_S)
                continue
            unsure = [i for i, answer in zip(waiting, answers, strict=True) if answer is None]
            for i, answer in zip(waiting, answers, strict=True):
                if answer is not None and answer.error is not None:
                    results[i] = _publish_failure(answer.error)
            if not unsure:
                break
            waiting = unsure
            self._observe(PublishRepeated(messages=len(waiting), error="no answer in time"))
            await asyncio.sleep(RETRY_WAIT_S)  # where JetStream is away, NATS says so at once
        stored = [m for m, result in zip(messages, results, strict=True) if result is None]
        self._observe(
            MessagesStored(
                messages=len(stored), items=sum(m.items for m in stored), seconds=time.perf_counter() - started
            )
        )
        return results

    async def append(self, events: Sequence[EventMessage], after_seq: int) -> Appended:
        """Store events next to a sequence. See `EventStream.append`."""
        started = time.perf_counter()
        if len(events) > 1 and not self._batch_failed and await self._takes_batches():
            appended = await self._append_whole(events, after_seq)
            self._batch_failed = appended.fault == "unsure"  # whatever the matter is, the next events go one by one
        else:
            messages = [_event_message(event, after_seq + index) for index, event in enumerate(events)]
            appended = _read_appended(await self._publish_once(messages), after_seq)
            self._batch_failed = False
        if appended.stored:
            self._observe(
                MessagesStored(messages=appended.stored, items=appended.stored, seconds=time.perf_counter() - started)
            )
        return appended

    async def _takes_batches(self) -> bool:
        """Whether the stream takes several messages as one (NATS 2.12, ADR-50), which costs one wait for the disk."""
        if self._batches is None:
            self._batches = bool((await self._info())["config"].get("allow_atomic"))
        return self._batches

    async def _append_whole(self, events: Sequence[EventMessage], after_seq: int) -> Appended:
        """All of the events next to the sequence, or none."""
        self._require_connection()
        *others, last = _batch_messages(events, after_seq)
        for subject, data, headers in others:
            try:
                await self._client.publish(subject, data, headers=headers)
            except nats.errors.Error as error:
                raise BusError(f"publish: {error}") from error
        [answer] = await self._publish_once([last])
        appended = _read_appended([answer], after_seq + len(events) - 1)
        return replace(appended, stored=len(events) if appended.stored else 0)

    async def end(self) -> StreamEnd:
        """How far the stream of events goes. See `EventStream.end`."""
        seq = int((await self._state())["last_seq"])
        if seq == 0:
            return StreamEnd(0, None)
        answer = await self._request(f"$JS.API.STREAM.MSG.GET.{self._stream}", {"seq": seq})
        error = answer.get("error")
        if error is None:
            return StreamEnd(seq, _event_number(answer["message"]))
        if error.get("code") != 404:
            raise BusError(f"read: {error.get('description')}")
        return StreamEnd(seq, None)

    async def _publish_once(self, messages: Sequence[_Sending]) -> Sequence[_PublishAnswer | None]:
        """Send all, then wait for all; None where no answer came or the answer says to try again."""
        self._require_connection()
        answers: list[_PublishAnswer | None] = [None] * len(messages)
        done = asyncio.get_running_loop().create_future()
        left = len(messages)

        def take(index: int, message: Msg) -> None:
            nonlocal left
            answer = _read_publish_answer(message)
            if answer is not None:
                answers[index] = answer
            left -= 1
            if left == 0 and not done.done():
                done.set_result(None)

        with contextlib.ExitStack() as inboxes:
            for index, message in enumerate(messages):
                inbox = inboxes.enter_context(self._replies.expect(partial(take, index)))
                subject, data, headers = message
                try:
                    await self._client.publish(subject, data, reply=inbox, headers=headers)
                except nats.errors.Error as error:
                    raise BusError(f"publish: {error}") from error
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(done, ANSWER_WAIT_S)
        return answers

    async def read(self, subject: str, from_seq: int, *, messages_max: int, bytes_max: int) -> Page:
        """The next matching messages. See `Bus.read`."""
        self._require_connection()
        request = {"seq": max(1, from_seq), "next_by_subj": subject, "batch": messages_max, "max_bytes": bytes_max}
        messages: list[Message] = []
        pending = 0
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def take(message: Msg) -> None:
            nonlocal pending
            headers = message.headers or {}
            status = headers.get("Status")
            if status is None:
                messages.append(_stored_message(headers, message.data))
                return
            if done.done():
                return
            if status == "204":
                pending = int(headers.get("Nats-Num-Pending", "0"))
                done.set_result(None)
            elif status == "404":
                done.set_result(None)
            else:
                done.set_exception(BusError(f"read: {status} {headers.get('Description', '')}"))

        with self._replies.expect(take) as inbox:
            await self._send(f"$JS.API.DIRECT.GET.{self._stream}", msgspec.json.encode(request), inbox)
            try:
                await asyncio.wait_for(done, ANSWER_WAIT_S)
            except TimeoutError as error:
                raise BusError("read: no answer in time") from error
        if pending == 0:
            next_seq = messages[-1].seq + 1 if messages else from_seq
            pending = 0 if await self._first_at_leader(subject, next_seq) is None else 1
        return Page(messages, pending)

    async def _first_at_leader(self, subject: str, from_seq: int) -> int | None:
        """The sequence of the first matching message from the sequence on, as the leader of the stream knows it.

        Any replica may answer a direct get, also one that lags, so its word that there is nothing more is not enough:
        who believes it would miss what lies between its end and the leader's.
        """
        answer = await self._request(
            f"$JS.API.STREAM.MSG.GET.{self._stream}", {"seq": max(1, from_seq), "next_by_subj": subject}
        )
        error = answer.get("error")
        if error is None:
            return int(answer["message"]["seq"])
        if error.get("code") != 404:
            raise BusError(f"read: {error.get('description')}")
        return None

    async def follow(self, from_seq: int) -> AsyncIterator[Sequence[Message]]:
        """Every message from the sequence on, without end. See `Bus.follow`."""
        next_seq = from_seq
        while True:
            try:
                async for messages, _pending in self._consume(self._subjects, next_seq, headers_only=False):
                    if messages:
                        next_seq = messages[-1].seq + 1
                        yield messages
            except BusError:
                # The consumer or the connection is gone; a new consumer goes on behind the last message given.
                await asyncio.sleep(RETRY_WAIT_S)

    async def bounds(self) -> Bounds:
        """The sequences stored now. See `Bus.bounds`."""
        info = await self._info()
        state: Mapping[str, Any] = info["state"]
        return Bounds(max(1, state["first_seq"]), state["last_seq"], str(info.get("created", "")))

    async def size_bytes(self) -> int:
        """How many bytes the stream takes now. Raises BusError."""
        return int((await self._state())["bytes"])

    async def _state(self) -> Mapping[str, Any]:
        state: Mapping[str, Any] = (await self._info())["state"]
        return state

    async def _info(self) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = await self._request(f"$JS.API.STREAM.INFO.{self._stream}", {})
        if "error" in answer:
            raise BusError(f"stream {self._stream}: {answer['error'].get('description')}")
        return answer

    async def first_seq_since(self, instant_ms: int) -> int:
        """The first sequence stored since the instant. See `Bus.first_seq_since`."""
        bounds = await self.bounds()
        since = _rfc3339(min(instant_ms, INSTANT_MS_MAX))
        answer = await self._request(
            f"$JS.API.DIRECT.GET.{self._stream}", {"start_time": since, "next_by_subj": self._subjects, "batch": 1}
        )
        return int(answer["seq"]) if "seq" in answer else bounds.last_seq + 1

    async def count_items(self, subject: str, from_seq: int, to_seq: int | None = None) -> int:
        """How many items lie between the sequences. See `Bus.count_items`."""
        end = (await self.bounds()).last_seq + 1 if to_seq is None else to_seq
        total = 0
        async with contextlib.aclosing(self.headers(subject, from_seq, end)) as pages:
            async for messages in pages:
                total += sum(message.items for message in messages)
        return total

    async def purge(self, before_seq: int) -> None:
        """Remove what lies before the sequence. See `Bus.purge`."""
        if before_seq <= 1:
            return
        answer = await self._request(f"$JS.API.STREAM.PURGE.{self._stream}", {"seq": before_seq})
        if "error" in answer:
            raise BusError(f"purge: {answer['error'].get('description')}")

    async def headers(self, subject: str, from_seq: int, to_seq: int) -> AsyncGenerator[Sequence[Message], None]:
        """The messages between the sequences, without their data. See `Bus.headers`."""
        next_seq = await self._first_at_leader(subject, from_seq)
        if next_seq is None or next_seq >= to_seq:
            return
        async with contextlib.aclosing(self._consume(subject, next_seq, headers_only=True)) as pages:
            async for messages, pending in pages:
                if not messages:  # what was there is on its way, or was purged meanwhile
                    first = await self._first_at_leader(subject, next_seq)
                    if first is None or first >= to_seq:
                        return
                    continue
                yield messages if messages[-1].seq < to_seq else [m for m in messages if m.seq < to_seq]
                next_seq = messages[-1].seq + 1
                if pending == 0 or next_seq >= to_seq:
                    break
        # The consumer may live on a replica that lags, so its word that there is nothing more is not enough.
        missed = await self._first_at_leader(subject, next_seq) if next_seq < to_seq else None
        if missed is not None and missed < to_seq:
            raise BusError(f"count: a replica lags, message {missed} is not there yet")

    async def _consume(
        self, subject: str, from_seq: int, *, headers_only: bool
    ) -> AsyncGenerator[tuple[Sequence[Message], int], None]:
        """Messages in order from an ephemeral pull consumer, with the number still pending behind them.

        Raises BusError as soon as anything is not as expected: a gap, a missed heartbeat, a lost connection.
        """
        self._require_connection()
        name = f"mh{time.time_ns():x}{id(object()):x}"
        config = {
            "name": name,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": max(1, from_seq),
            "ack_policy": "none",
            "filter_subject": subject,
            "headers_only": headers_only,
            "inactive_threshold": int(CONSUMER_IDLE_S * 1e9),
            "mem_storage": True,
            "num_replicas": 1,
        }
        create = {"stream_name": self._stream, "config": config, "action": "create"}
        answer = await self._request(f"$JS.API.CONSUMER.CREATE.{self._stream}.{name}.{subject}", create)
        if "error" in answer:
            raise BusError(f"consumer: {answer['error'].get('description')}")
        reader = _PullReader(self._client, f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{name}")
        try:
            async for batch in reader.batches():
                yield batch
        finally:
            if self._client.is_connected:
                await self._client.publish(f"$JS.API.CONSUMER.DELETE.{self._stream}.{name}", b"")

    async def _request(self, subject: str, body: Mapping[str, object]) -> Any:
        """One request with one JSON answer; of a direct get, the sequence as {"seq": n}, or {} if there is none."""
        answered: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()

        def take(message: Msg) -> None:
            if not answered.done():
                answered.set_result(message)

        with self._replies.expect(take) as inbox:
            await self._send(subject, msgspec.json.encode(body), inbox)
            try:
                message = await asyncio.wait_for(answered, ANSWER_WAIT_S)
            except TimeoutError as error:
                raise BusError(f"{subject}: no answer in time") from error
        headers = message.headers or {}
        if headers.get("Status") == "503":
            raise BusError(f"{subject}: JetStream is not ready")
        if "Nats-Sequence" in headers:
            return {"seq": headers["Nats-Sequence"]}
        return msgspec.json.decode(message.data) if message.data else {}

    async def _send(self, subject: str, data: bytes, inbox: str) -> None:
        self._require_connection()
        try:
            await self._client.publish(subject, data, reply=inbox)
        except nats.errors.Error as error:
            raise BusError(f"{subject}: {error}") from error

    def _require_connection(self) -> None:
        if not self._client.is_connected:
            raise BusError("no connection to NATS")


class _PullReader:
    """Keeps one pull request open on a consumer and hands its messages out in batches."""

    def __init__(self, client: Client, next_subject: str) -> None:
        self._client = client
        self._next_subject = next_subject
        self._messages: list[Message] = []
        self._pending = 0
        self._delivered = 0
        self._failure = ""
        self._pull_over = True
        self._heard = asyncio.Event()

    async def batches(self) -> AsyncIterator[tuple[Sequence[Message], int]]:
        """The batches, without end; an empty one says that the server lives and has nothing. Raises BusError."""
        # Messages of a consumer come under their own subject, so only the subscription tells whose they are.
        inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(inbox, cb=self._take, pending_msgs_limit=0, pending_bytes_limit=0)
        try:
            while True:
                if self._pull_over:
                    await self._pull(inbox)
                try:
                    await asyncio.wait_for(self._heard.wait(), FOLLOW_HEARTBEAT_S * 2.5)
                except TimeoutError as error:
                    raise BusError("follow: no heartbeat") from error
                self._heard.clear()
                batch, self._messages = self._messages, []
                yield batch, self._pending
                if self._failure:
                    raise BusError(f"follow: {self._failure}")
        finally:
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()

    async def _pull(self, inbox: str) -> None:
        self._pull_over = False
        request = {
            "batch": FOLLOW_MESSAGES,
            "max_bytes": FOLLOW_BYTES,
            "expires": int(FOLLOW_EXPIRES_S * 1e9),
            "idle_heartbeat": int(FOLLOW_HEARTBEAT_S * 1e9),
        }
        try:
            await self._client.publish(self._next_subject, msgspec.json.encode(request), reply=inbox)
        except nats.errors.Error as error:
            raise BusError(f"follow: {error}") from error

    async def _take(self, message: Msg) -> None:
        self._heard.set()
        headers = message.headers or {}
        status = headers.get("Status")
        if status is None:
            self._take_stored(message, headers)
        elif status == "100":
            return
        elif status == "408" or (status == "409" and headers.get("Description", "") in _PULL_OVER):
            self._pull_over = True
        else:
            self._failure = f"{status} {headers.get('Description', '')}"

    def _take_stored(self, message: Msg, headers: Mapping[str, str]) -> None:
        # $JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>[…]; with a domain and
        # account hash in front of the stream there are at least 11 words.
        words = message.reply.split(".")
        start = 4 if len(words) >= 11 else 2
        seq, delivered, pending = int(words[start + 3]), int(words[start + 4]), int(words[start + 6])
        if delivered != self._delivered + 1:
            self._failure = f"message {self._delivered + 1} of the consumer is missing"
            return
        self._delivered = delivered
        self._pending = pending
        self._messages.append(
            Message(
                seq,
                message.subject,
                message.data,
                _items(headers, message.data),
                headers.get(ORIGIN_HEADER, ""),
                int(words[start + 5]) // 1_000_000,
            )
        )


def _outgoing_message(message: Outgoing) -> _Sending:
    headers = {ID_HEADER: message.id, ITEMS_HEADER: str(message.items), **message.headers}
    return message.subject, message.data, headers


def _event_message(event: EventMessage, last_seq: int) -> _Sending:
    """Without an id: a stream that knows one answers for it without a look at the sequence that is expected."""
    headers = {EXPECTED_SEQ_HEADER: str(last_seq), ITEMS_HEADER: "1", EVENT_HEADER: str(event.number)}
    return event.subject, event.line, headers


def _batch_messages(events: Sequence[EventMessage], last_seq: int) -> list[_Sending]:
    """The events as one batch: the first says what it expects, the last that it is all."""
    batch = secrets.token_hex(8)
    messages = []
    for number, event in enumerate(events, 1):
        headers = {
            BATCH_HEADER: batch,
            BATCH_NUMBER_HEADER: str(number),
            ITEMS_HEADER: "1",
            EVENT_HEADER: str(event.number),
        }
        if number == 1:
            headers[EXPECTED_SEQ_HEADER] = str(last_seq)
        if number == len(events):
            headers[BATCH_END_HEADER] = "1"
        messages.append((event.subject, event.line, headers))
    return messages


def _read_appended(answers: Sequence[_PublishAnswer | None], after_seq: int) -> Appended:
    """What the answers to a row of events say, up to the first that is not the expected one."""
    for stored, answer in enumerate(answers):
        if answer is None:
            return Appended(stored, "unsure", "no answer in time")
        if answer.error is not None:
            if answer.error.err_code in _WRONG_LAST_SEQ:
                return Appended(stored, "refused", answer.error.description)
            fault: AppendFault = "full" if answer.error.err_code in _STREAM_FULL else "unsure"
            return Appended(stored, fault, answer.error.description)
        if answer.seq != after_seq + stored + 1:
            return Appended(stored, "unsure", f"stored as {answer.seq} instead of {after_seq + stored + 1}")
    return Appended(len(answers))


def _event_number(message: Mapping[str, Any]) -> int:
    """The number of an event in its headers, as an answer to a request has them. Raises ForeignMessage."""
    found = re.search(
        rf"^{EVENT_HEADER}: (\d+)\r?$", base64.b64decode(message.get("hdrs", "")).decode(errors="replace"), re.MULTILINE
    )
    if found is None:
        raise ForeignMessage(f"message {message['seq']} of the stream of events is not the hub's")
    return int(found[1])


def _read_publish_answer(message: Msg) -> _PublishAnswer | None:
    """What the stream said, or None if it says to try again: not ready (503), or a passing fault of its own (5xx)."""
    if not message.data:
        return None
    answer = _publish_answer.decode(message.data)
    if answer.error is not None and answer.error.code >= 500 and answer.error.err_code not in _STREAM_FULL:
        return None
    return answer


def _publish_failure(error: _PublishError) -> BaseException:
    if error.err_code in _STREAM_FULL:
        return StreamFull(f"the stream is full, see streams.size_bytes_max: {error.description}")
    return BusError(f"publish: {error.description}")


def _stored_message(headers: Mapping[str, str], data: bytes) -> Message:
    return Message(
        int(headers["Nats-Sequence"]),
        headers["Nats-Subject"],
        data,
        _items(headers, data),
        headers.get(ORIGIN_HEADER, ""),
        _instant_ms(headers["Nats-Time-Stamp"]),
    )


def _items(headers: Mapping[str, str], data: bytes) -> int:
    found = headers.get(ITEMS_HEADER)
    return int(found) if found is not None else data.count(b"\n") + 1


def _instant_ms(text: str) -> int:
    """The instant of a time as the server writes it, `2024-03-10T00:05:09.417123456Z`, cut to milliseconds."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def _rfc3339(instant_ms: int) -> str:
    seconds, millis = divmod(instant_ms, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{millis:03d}Z"


@contextlib.asynccontextmanager
async def open_buses(
    url: str, settings: StreamSettings, observe: Observe, *, create: bool = True
) -> AsyncIterator[Mapping[Source, NatsBus]]:
    """The buses of all streams, on one connection. With `create`, the streams exist from here on, as the settings say.

    Raises: EngineError if NATS cannot be reached, BusError if it refuses a stream.
    """
    async with _connected(url, observe) as client:
        buses = {
            source: NatsBus(client, settings, observe, stream=STREAMS[source], subjects=SUBJECTS[source])
            for source in SOURCES
        }
        for bus in buses.values():
            await bus.start(create=create)
        yield buses


@contextlib.asynccontextmanager
async def open_bus(
    url: str,
    settings: StreamSettings,
    observe: Observe,
    *,
    stream: str = SENSORS_STREAM,
    subjects: str = SENSORS_SUBJECTS,
    create: bool = True,
) -> AsyncIterator[NatsBus]:
    """A connected bus of one stream. With `create`, it exists from here on and is as the settings say.

    Raises: EngineError if NATS cannot be reached, BusError if it refuses the stream.
    """
    async with _connected(url, observe) as client:
        bus = NatsBus(client, settings, observe, stream=stream, subjects=subjects)
        await bus.start(create=create)
        yield bus


@contextlib.asynccontextmanager
async def _connected(url: str, observe: Observe) -> AsyncIterator[Client]:
    """A connection that comes back by itself. Raises EngineError if NATS cannot be reached."""
    closing = False

    async def disconnected() -> None:
        if not closing:
            observe(BusDisconnected())

    async def reconnected() -> None:
        observe(BusReconnected())

    async def failed(_error: Exception) -> None:
        """Faults of a connection show as a disconnection, those of a request in its answer."""

    client = Client()
    try:
        async with asyncio.timeout(CONNECT_WAIT_S):  # the client itself would go on trying for ever
            await client.connect(
                url,
                name="matrixhub",
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.1,  # type: ignore[arg-type] # seconds; a fraction works
                connect_timeout=3,
                ping_interval=5,
                disconnected_cb=disconnected,
                reconnected_cb=reconnected,
                error_cb=failed,
                pending_size=64 * 1024 * 1024,
                allow_reconnect=True,
            )
    except (OSError, nats.errors.Error, TimeoutError) as error:
        await client.close()
        raise EngineError(
            f"NATS at {url.rpartition('@')[2]} cannot be reached: {str(error) or type(error).__name__}"
        ) from error
    try:
        yield client
    finally:
        closing = True
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
            await client.close()
