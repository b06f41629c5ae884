"""The replay memory of an agent: each frame is stored once, states are put together when read."""

from typing import Any

import numpy as np

import minidl

SAVED = 2**26  # bytes; a larger memory is not in the checkpoint


class Memory:
    """The last transitions (s_t, a_t, r_t, s_t+1) of a game of `_games.py`. A state is `history`
    frames long.

    The frame that the agent sees now is number `count`; the transitions before it are complete.
    """

    def __init__(self, capacity: int, game: Any, device: str = "cpu") -> None:
        self.capacity, self.history, self.device, self.count = capacity, game.history, device, 0
        self.frames = np.zeros((capacity, *game.shape), game.dtype)
        self.actions = np.zeros(capacity, np.int64)
        self.rewards = np.zeros(capacity, np.float32)
        self.ends = np.zeros(capacity, bool)

    def __len__(self) -> int:
        """How many transitions can be read: the frames of the oldest are overwritten."""
        return min(self.count, self.capacity - self.history)

    def begin(self, frame: np.ndarray) -> None:
        """See a frame that does not follow from the last transition."""
        self.ends[(self.count - 1) % self.capacity] = True
        self.frames[self.count % self.capacity] = frame

    def add(self, action: int, reward: float, end: bool, frame: np.ndarray) -> None:
        """What was done at the present frame, what came of it, and the next frame."""
        i = self.count % self.capacity
        self.actions[i], self.rewards[i], self.ends[i] = action, reward, end
        self.count += 1
        self.frames[self.count % self.capacity] = frame

    def states(self, times: np.ndarray) -> minidl.Tensor:
        """(B,) -> (B, history x C, H, W). Frames of an earlier episode are black."""
        if self.history == 1:
            return minidl.tensor(self.frames[times % self.capacity], device=self.device)
        slots = (times[:, None] + np.arange(1 - self.history, 1)) % self.capacity  # (B, history)
        frames = self.frames[slots]  # (B, history, C, H, W), a copy
        ends = self.ends[slots[:, :-1]]
        earlier = np.logical_or.accumulate(ends[:, ::-1], 1)[:, ::-1]  # an end from there to now
        frames[:, :-1][earlier] = 0
        frames = frames.reshape(len(times), -1, *frames.shape[3:])
        return minidl.tensor(frames, device=self.device)

    def now(self) -> minidl.Tensor:
        """The present state, (1, history x C, H, W)."""
        return self.states(np.array([self.count]))

    def transitions(self, times: np.ndarray) -> tuple[minidl.Tensor, ...]:
        """States, actions, rewards, whether the episode ended, next states."""
        arrays = (array[times % self.capacity] for array in (self.actions, self.rewards, self.ends))
        parts = (minidl.tensor(array, device=self.device) for array in arrays)
        return self.states(times), *parts, self.states(times + 1)

    def state_dict(self) -> dict:
        """Empty if it is too large for a checkpoint."""
        if self.frames.nbytes > SAVED:
            return {}
        names = ("frames", "actions", "rewards", "ends")
        return {"count": self.count} | {name: minidl.tensor(getattr(self, name)) for name in names}

    def load_state_dict(self, state: dict) -> None:
        if not state:
            print("the replay memory is not in the checkpoint: it is filled anew", flush=True)
        for name, value in state.items():
            setattr(self, name, value if name == "count" else value.numpy().copy())


def stacking_gap() -> np.ndarray:
    """States of a memory that has been full, minus those that were seen when it was filled: frames
    are numbered, an episode is seven frames long."""
    memory, seen, stack = Memory(40, Numbered, "cpu"), [], [0, 0, 0, 1]
    memory.begin(np.full((1, 2, 2), 1))
    for time in range(100):
        seen.append(stack)
        end, number = time % 7 == 6, time + 2
        memory.add(0, 0.0, end, np.full((1, 2, 2), number))
        stack = [0, 0, 0, number] if end else [*stack[1:], number]
    times = np.arange(memory.count - len(memory), memory.count)
    states = memory.states(times).numpy()  # (B, 4, 2, 2)
    return states - np.array(seen)[times][:, :, None, None]


class Numbered:
    """What a memory asks of a game."""

    shape, dtype, history = (1, 2, 2), np.uint8, 4
