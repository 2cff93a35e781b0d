"""Who is served when: places for those who wait, one thread that colourises, and how often an address may send."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from threading import BoundedSemaphore
from types import TracebackType

import numpy as np
from jaxtyping import UInt8

from common.data.decoding.images import BadImage
from common.errors import ColourbenchError
from common.system.costs import is_out_of_memory
from studies.pages.colourise.decoding import Decoder, limits_for
from studies.pages.colourise.settings import ServeSettings
from studies.use import photographs
from studies.use.models import Model
from studies.use.prediction import Sight, colour

MINUTE = 60.0
PAUSE = 3  # seconds after which it is worth trying again where all places are taken
# times the shorter side: the network sees that at its own size, and the longer side grows with it
LONGEST = 20
LARGEST_SIDE = {"jpeg": 65_500, "webp": 16_383}  # pixels that these formats can hold
MOST_CLIENTS = 10_000  # addresses that are remembered
SUBNET = 2**64  # addresses that one household has in IPv6


class Later(ColourbenchError):
    """It cannot be done now: `status` is the reply's, and after `seconds` it is worth trying again."""

    def __init__(self, text: str, status: int, seconds: int) -> None:
        super().__init__(text)
        self.status = status
        self.seconds = seconds


@dataclass(frozen=True)
class Order:
    """How a photograph is to be coloured, and the format of the result."""

    model: Model
    sight: Sight
    saturation: float
    kind: str


class Work:
    """The process that decodes and the thread that colourises, as a context manager.

    Whoever sends a photograph takes a place before it is read, and keeps it until the result is there: what waits in memory is
    bounded by the number of places.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self.decoder = Decoder(limits_for(settings.most_pixels, settings.most_bytes))
        places = settings.queue + 1
        self._places = BoundedSemaphore(places)
        self._most_each = max(1, places // 2)
        self._held: Counter[str] = Counter()  # places by address
        self._thread = ThreadPoolExecutor(1, "colourise")

    def __enter__(self) -> "Work":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.shutdown(cancel_futures=True)
        self.decoder.__exit__(kind, error, trace)

    @contextmanager
    def place(self, client: str) -> Iterator[None]:
        """A place among those that wait; one address gets at most half of them, so that nobody can keep them all.

        Raises:
            Later: all are taken, or the address has its share.
        """
        client = _network(client)
        if self._held[client] >= self._most_each or not self._places.acquire(blocking=False):
            raise Later("too many photographs are waiting; try again in a moment", 503, PAUSE)
        self._held[client] += 1
        try:
            yield
        finally:
            self._held[client] -= 1
            self._held += Counter()  # forgets who holds none
            self._places.release()

    def begin(self, order: Order, data: bytes) -> Future[bytes]:
        """Colourises a file's content when its turn comes; a cancelled order drops the content at once.

        The result is the coloured picture's file. It raises BadImage, with the reason, or Later.
        """
        content = [data]
        future = self._thread.submit(lambda: self._colour(order, content.pop()))
        future.add_done_callback(lambda _: content.clear())
        return future

    def _colour(self, order: Order, data: bytes) -> bytes:
        try:
            rgb = self._decoded(data)
            _check_shape(rgb, order.kind)
            return photographs.encoded(
                colour(order.model.colouriser, rgb, order.sight, order.saturation), order.kind
            )
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise BadImage("there is not enough memory for a picture of this size") from None

    def _decoded(self, data: bytes) -> UInt8[np.ndarray, "h w 3"]:
        try:
            return self.decoder.decode(data)
        except BadImage:
            raise
        except ColourbenchError:
            raise Later(
                "photographs cannot be read at present; try again in a moment", 503, PAUSE
            ) from None


class Rate:
    """How often each address may send within any minute; IPv6 addresses count by their /64 network."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._times: dict[str, deque[float]] = {}  # in the order of their first visit

    def check(self, client: str) -> None:
        """Counts a visit.

        Raises:
            Later: there were too many; this one does not count.
        """
        now = self._clock()
        client = _network(client)
        times = self._times.setdefault(client, deque())
        while times and times[0] <= now - MINUTE:
            times.popleft()
        if len(times) >= self._most:
            seconds = int(times[0] + MINUTE - now) + 1
            raise Later(
                f"one address may send {self._most} photographs a minute; try again in {seconds} s",
                429,
                seconds,
            )
        times.append(now)
        if len(self._times) > MOST_CLIENTS:
            self._forget(now)

    def _forget(self, now: float) -> None:
        """Forgets who has not come for a minute, and if those are too few, who came first."""
        self._times = {
            client: times
            for client, times in self._times.items()
            if times and times[-1] > now - MINUTE
        }
        while len(self._times) > MOST_CLIENTS:
            del self._times[next(iter(self._times))]


def _network(client: str) -> str:
    try:
        address = ip_address(client.partition("%")[0])
    except ValueError:
        return client
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(IPv6Address(int(address) // SUBNET * SUBNET))
    return client


def _check_shape(rgb: UInt8[np.ndarray, "h w 3"], kind: str) -> None:
    short, long = sorted(rgb.shape[:2])
    if long > LONGEST * short:
        raise BadImage(f"one side is more than {LONGEST} times as long as the other")
    if long > (most := LARGEST_SIDE.get(kind, long)):
        raise BadImage(f"a {kind.upper()} file holds at most {most} pixels a side; choose PNG")
