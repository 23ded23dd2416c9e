"""Steps that a GPU repeats as one launch: CUDA graphs, one for each shape of a batch.

An update of bart-large's shape is thousands of kernels. At batch 8 a GPU is likely to need less
time for them than the host takes to name them one by one. A graph names them all at once. What a
kernel reads must then lie where it lay when the graph was recorded: batches are copied into room of
their own, and what changes from update to update (learning rate, counts) lies in tensors.
"""

import gc
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from typing import Generic, TypeVar

import torch

from features.common.errors import RunError, first_line
from train.data.batches import Batch

# Of a shape, before it is recorded: in the first one things are compiled and chosen. A plain turn
# of bart-large's shape takes five to eight times a recorded one's, recording half a second.
PLAIN_TURNS = 1
MOST_SHAPES = 64  # recorded at most, since each takes memory; others run plainly

T = TypeVar("T")
Step = Callable[[], None]
Record = Callable[[Step], Step]


class Shapes(Generic[T]):
    """What was recorded, by shape, each after some plain turns."""

    def __init__(
        self, fall_back: Callable[[str], object] | None, plain_turns: int | None = None
    ) -> None:
        """Hold nothing yet.

        Args:
            fall_back: told why a step could not be recorded; all go plainly from then on. Without
                it the error is raised.
            plain_turns: of a shape before it is recorded; None for an update's.
        """
        self._plain_turns = PLAIN_TURNS if plain_turns is None else plain_turns
        self._fall_back, self._most = fall_back, MOST_SHAPES
        self.turns: Counter[Hashable] = Counter()
        self.recorded: dict[Hashable, T] = {}

    def turn(self, shape: Hashable, record: Callable[[], T]) -> T | None:
        """What was recorded for a shape, perhaps just now; None where the step goes plainly."""
        self.turns[shape] += 1
        if shape not in self.recorded:
            if self.turns[shape] <= self._plain_turns or len(self.recorded) >= self._most:
                return None
            try:
                self.recorded[shape] = record()
            except (RunError, torch.OutOfMemoryError) as error:
                if self._fall_back is None:
                    raise
                self._most = 0
                self.forget()  # their memory may be what is lacking
                # No name for it: a name would keep all that the step made (see `record`).
                self._fall_back(
                    first_line(_origin(error) if isinstance(error, RunError) else error)
                )
                return None
        return self.recorded[shape]

    def forget(self) -> bool:
        """Let all go, to be recorded anew; whether there was any."""
        any_there = bool(self.recorded)
        self.recorded.clear()
        return any_there


class Repeated:
    """Does a step with one batch after the other, each shape from its second turn on by a graph.

    Args:
        step: reads nothing that changes but its batch and tensors that keep their place, keeps no
            tensor, and leaves no gradient behind.
        device: where it runs.
        record: turns a step without arguments into a function that repeats it.
        fall_back: told why a step could not be recorded; all go plainly from then on. Without it
            the error is raised.
    """

    def __init__(
        self,
        step: Callable[[Batch], None],
        device: torch.device,
        record: Record,
        fall_back: Callable[[str], object] | None = None,
    ) -> None:
        self._step, self._device, self._record = step, device, record
        self.shapes: Shapes[tuple[_Room, Step]] = Shapes(fall_back)

    def __call__(self, batch: Batch, seed: int) -> None:
        """Do the step with a batch of the host, torch's generators seeded before it (dropout)."""
        seed_draws(seed, self._device)
        found = self.shapes.turn(batch.shape(), lambda: self._recorded(batch))
        seed_draws(seed, self._device)  # whatever recording made of the generator
        if found is None:
            self._step(batch.to(self._device))
            return
        room, repeat = found
        room.take(batch)
        repeat()

    def _recorded(self, batch: Batch) -> tuple["_Room", Step]:
        room = _Room(batch, self._device)
        room.take(batch)
        return room, self._record(lambda: self._step(room.batch))


class _Room:
    """A batch's place on a device, to be filled again and again, by one copy each time."""

    def __init__(self, like: Batch, device: torch.device) -> None:
        self._there = torch.empty(like.room, dtype=torch.uint8, device=device)
        self.batch = like.within(self._there)

    def take(self, batch: Batch) -> None:
        """Fill it with a batch of the host; waits for no copy to a GPU."""
        here = torch.empty(batch.room, dtype=torch.uint8, pin_memory=self._there.is_cuda)
        batch.within(here).take(batch)
        self._there.copy_(here, non_blocking=True)


def seed_draws(seed: int, device: torch.device) -> None:
    """Seed what draws (dropout) on the CPU and on a device.

    torch.manual_seed does the same for each kind of device that torch knows, and for those that are
    not there it notes its caller: 0.3 ms of an update.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[_number(device)].manual_seed(seed)


def _number(device: torch.device) -> int:
    return torch.cuda.current_device() if device.index is None else device.index


def cuda_graphs(device: torch.device) -> Record | None:
    """What records steps on a device; None where it has no graphs.

    Its graphs share their memory, so they must not run at the same time, and what a step computes
    must be copied to tensors from outside of it.
    """
    if device.type != "cuda":
        return None
    pool = torch.cuda.graph_pool_handle()
    # The run's own: with a graph, torch frees what cuBLAS keeps for the stream it was recorded on,
    # also under other graphs (pytorch issue 193402), and an earlier run's may go at any time.
    stream = torch.cuda.Stream()

    def record(step: Step) -> Step:
        graph = torch.cuda.CUDAGraph()
        try:
            # The outer block brings the stream back if recording fails. Other threads (the loader,
            # the saver) may do what is forbidden while this one records.
            with (
                _garbage_stays(),
                torch.cuda.stream(torch.cuda.current_stream()),
                torch.cuda.graph(graph, pool, stream, capture_error_mode="thread_local"),
            ):
                step()
        except RuntimeError as error:
            _forget_recording(device, pool)
            # Nothing here may go on holding an error, through which all that the step made would
            # live on.
            errors = [error, error.__context__]
            lacking = [each for each in errors if isinstance(each, torch.OutOfMemoryError)]
            errors.clear()
            if lacking:
                raise lacking.pop() from None
            raise RunError(
                f"a step could not be recorded as a CUDA graph ({first_line(_origin(error))}). "
                'To go on without graphs, write cuda_graphs = "never" in the run\'s recipe.toml, '
                "then --resume"
            ) from error
        return graph.replay

    return record


def _origin(error: BaseException) -> BaseException:
    """What an error came of in the end: behind any other the recording's end fails as well."""
    while earlier := error.__cause__ or error.__context__:
        error = earlier
    return error


def _forget_recording(device: torch.device, pool: tuple[int, int]) -> None:
    """Clear up after a recording that failed, as torch does only after one that went well (2.11).

    Its generator counts for that graph for ever, and refuses to draw for anything else: it gets
    another state, to be seeded. And while a recording is under way, memory that two streams used is
    not given back.
    """
    index = _number(device)
    torch.cuda.default_generators[index].graphsafe_set_state(torch.Generator(device))
    with suppress(RuntimeError):  # it had not begun
        torch._C._cuda_endAllocateToPool(index, pool)


@contextmanager
def _garbage_stays() -> Iterator[None]:
    """No garbage is collected in this block.

    It may hold what compiling or another run left, and CUDA lets no graph or module be destroyed
    while one is recorded (pytorch pull request 161037).
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
