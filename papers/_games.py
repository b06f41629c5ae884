"""The games of `dqn.py`: a cart with a pole, ten by ten pixels, the Atari 2600; and films of them.

Random starts come from minidl's generator. A game is also the `data` of a run: it has a name, a
line for the heading, and a record. [N] is Mnih et al., Nature 518, 2015.
"""

import hashlib
import importlib.metadata
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import minidl
from minidl import nn

from ._lab import Misuse
from ._replay import Memory

WHITE, BLACK, BLUE, ORANGE = (255, 255, 255), (30, 30, 30), (0, 114, 178), (213, 94, 0)
MINATAR = np.array([(20, 20, 20), BLUE, (240, 228, 66), (130, 120, 40), ORANGE], np.uint8)


class Game:
    """What the games share. Each has `actions`, their number; `shape` and `dtype` of a frame;
    `history`, the frames that make a state; `begin() -> frame`; `act(action) -> frame, reward,
    end of the episode, end of the game`; `picture() -> PIL image`."""

    history, dtype = 1, np.uint8

    def __init__(self, name: str, package: str, source: str) -> None:
        self.name, self.package, self.source = name, package, Path(source)
        self.score, self.playing = 0.0, False

    def reset(self) -> np.ndarray:
        """The first frame of a new game."""
        self.score, self.playing = 0.0, True
        return self.begin()

    def step(self, action: int) -> tuple[np.ndarray, float, bool, float | None]:
        """Frame, reward, end of the episode, score of the game if it is over, else None. The frame
        after a game is the first of the next one."""
        frame, reward, end, over = self.act(action)
        self.score += reward
        score = self.score if over else None
        if over:
            frame = self.reset()
        return frame, min(max(reward, -1.0), 1.0), end, score  # [N] Methods: rewards are clipped

    def line(self) -> str:
        return f"game: {self.name} ({self.package} {importlib.metadata.version(self.package)})"

    def record(self) -> dict:
        """The sha256 is that of the file that defines the game."""
        digest = hashlib.sha256(self.source.read_bytes()).hexdigest()
        return {"name": self.name, "real": True, "sha256": digest}

    def state_dict(self) -> dict:
        """Empty: a game that cannot be saved (the Atari's) begins anew when a run is resumed."""
        return {}

    def load_state_dict(self, state: dict) -> None:
        self.playing = False


class CartPole(Game):
    """CartPole-v1: push a cart left or right so that its pole stays upright. A step is worth 1; the
    game is over when the pole falls, the cart leaves, or after 500 steps."""

    actions, shape, dtype = 2, (4,), np.float32  # position, velocity, angle, angular velocity
    longest = 500

    def __init__(self) -> None:
        from gymnasium.envs.classic_control import cartpole

        super().__init__("CartPole-v1", "gymnasium", inspect.getfile(cartpole))
        self.env = cartpole.CartPoleEnv()

    def begin(self) -> np.ndarray:
        self.steps = 0
        return self.env.reset(seed=minidl.randint(0, 2**31, ()).item())[0]

    def act(self, action: int) -> tuple:
        frame, reward, fell, _, _ = self.env.step(action)
        self.steps += 1
        over = fell or self.steps == self.longest
        return frame, reward, over, over

    def state_dict(self) -> dict:
        state = self.env.state.tolist() if self.playing else []
        return {"state": state, "steps": self.steps, "score": self.score}

    def load_state_dict(self, state: dict) -> None:
        self.playing, self.env.steps_beyond_terminated = bool(state["state"]), None
        self.env.state = np.array(state["state"])
        self.steps, self.score = state["steps"], state["score"]

    def picture(self) -> Any:
        from PIL import Image, ImageDraw

        position, _, angle, _ = self.env.state
        x, y = 120 + 46 * position, 100  # 2.4 to each side of the middle
        image = Image.new("RGB", (240, 130), WHITE)
        draw = ImageDraw.Draw(image)
        draw.line((0, y + 10, 240, y + 10), BLACK)
        draw.rectangle((x - 20, y - 10, x + 20, y + 9), fill=BLACK)
        tip = (x + 75 * np.sin(angle), y - 75 * np.cos(angle))
        draw.line((x, y - 6, *tip), fill=ORANGE, width=7)
        draw.ellipse((x - 3, y - 9, x + 3, y - 3), fill=BLUE)
        return image


class MinAtar(Game):
    """Breakout of MinAtar (arXiv:1903.03176): 10 x 10 pixels, in four maps of zeros and ones."""

    shape = (4, 10, 10)

    def __init__(self) -> None:
        try:
            import minatar
        except ImportError as error:
            raise needed("breakout", "minatar") from error
        self.env = minatar.Environment("breakout")
        super().__init__("MinAtar Breakout", "minatar", inspect.getfile(type(self.env.env)))
        self.moves = self.env.minimal_action_set()  # of the six of all its games
        self.actions = len(self.moves)

    def frame(self) -> np.ndarray:
        return 255 * self.env.state().transpose(2, 0, 1).astype(np.uint8)

    def begin(self) -> np.ndarray:
        self.env.seed(minidl.randint(0, 2**31, ()).item())
        self.env.last_action = 0  # not that of the game before, which may be of another run
        self.env.reset()
        return self.frame()

    def act(self, action: int) -> tuple:
        reward, over = self.env.act(self.moves[action])
        return self.frame(), float(reward), over, over

    def state_dict(self) -> dict:
        """What the emulator and its generator of random numbers hold."""
        if not self.playing:
            return {}
        game, chance = self.env.env, self.env.random.get_state(legacy=False)["state"]
        numbers = {name: value for name, value in vars(game).items() if isinstance(value, int)}
        state = {"numbers": numbers, "bricks": game.brick_map.tolist(), "score": self.score}
        state |= {"last_action": self.env.last_action}
        return state | {"key": chance["key"].tolist(), "pos": chance["pos"]}

    def load_state_dict(self, state: dict) -> None:
        self.playing = bool(state)
        if state:
            vars(self.env.env).update(state["numbers"], brick_map=np.array(state["bricks"]))
            self.env.last_action, self.score = state["last_action"], state["score"]
            self.env.seed(0)  # one generator for the game and its sticky actions
            self.env.random.set_state(("MT19937", state["key"], state["pos"]))

    def picture(self) -> Any:
        from PIL import Image

        maps = self.env.state()  # (10, 10, 4): paddle, ball, trail, brick
        colour = MINATAR[(maps * np.arange(1, 5)).max(2)]  # (10, 10, 3)
        return Image.fromarray(colour).resize((160, 160), Image.Resampling.NEAREST)


class Atari(Game):
    """A game of the Atari 2600 as [N] prepares it (Methods: preprocessing, training details)."""

    shape, history = (1, 84, 84), 4
    skip, idle, longest = 4, 30, 5 * 60 * 60  # frames; a game of more than five minutes is cut off

    def __init__(self, rom: str) -> None:
        try:
            import ale_py
        except ImportError as error:
            raise needed("atari", "ale-py") from error
        known = ale_py.roms.get_all_rom_ids()
        if rom not in known:
            raise Misuse(f"no Atari game {rom!r}; there are: {', '.join(sorted(known))}")
        path = ale_py.roms.get_rom_path(rom)
        super().__init__(f"Atari {rom}", "ale-py", str(path))
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self.ale = ale_py.ALEInterface()
        self.ale.setInt("random_seed", 0)  # chance comes from the idle frames at the start alone
        self.ale.setInt("max_num_frames_per_episode", self.longest)
        self.ale.setFloat("repeat_action_probability", 0.0)
        self.ale.loadROM(path)
        self.moves = self.ale.getMinimalActionSet()
        self.actions = len(self.moves)

    def frame(self, before: np.ndarray) -> np.ndarray:
        """84 x 84 luminances of the larger of this screen's and the one's before, colour by colour:
        some things are drawn on every other frame only."""
        from PIL import Image

        self.screen = self.ale.getScreenRGB()  # (210, 160, 3)
        image = Image.fromarray(np.maximum(before, self.screen)).convert("L")
        return np.asarray(image.resize((84, 84), Image.Resampling.BOX))[None]

    def begin(self) -> np.ndarray:
        """A new game, after one to 30 frames of doing nothing."""
        self.ale.reset_game()
        for _ in range(minidl.randint(1, self.idle + 1, ()).item()):
            self.ale.act(self.moves[0])
        return self.frame(self.ale.getScreenRGB())

    def act(self, action: int) -> tuple:
        """The same action for four frames. A lost life ends an episode, not the game."""
        lives, move = self.ale.lives(), self.moves[action]
        reward = sum(self.ale.act(move) for _ in range(self.skip - 1))
        before = self.ale.getScreenRGB()
        reward += self.ale.act(move)
        over = self.ale.game_over()
        return self.frame(before), float(reward), over or self.ale.lives() < lives, over

    def picture(self) -> Any:
        from PIL import Image

        return Image.fromarray(self.screen)


class Bytes(nn.Module):
    """The first layer of a network that sees pixels: 0..255 to 0..1."""

    def forward(self, x: minidl.Tensor) -> minidl.Tensor:
        return x.float() / 255


def needed(game: str, package: str) -> Misuse:
    return Misuse(f'the game {game} needs {package}: pip install -e ".[atari]"')


def make(name: str, rom: str) -> Game:
    """The game of this name; Misuse, with what to install, if it cannot be had."""
    if name == "atari":
        return Atari(rom)
    return {"cartpole": CartPole, "breakout": MinAtar}[name]()


def random_states(game: Game, device: str, count: int = 500) -> minidl.Tensor:
    """States of a random policy."""
    memory = Memory(count + game.history, game, device)
    memory.begin(game.reset())
    for action in minidl.randint(0, game.actions, (count,)).tolist():
        frame, reward, end, _ = game.step(action)
        memory.add(action, reward, end, frame)
    game.playing = False
    return memory.states(np.arange(count))


def play(
    game: Game, act: Callable, device: str, pictures: list | None = None, most: int = 500
) -> float:
    """The score of one game. `act(memory=, game=)` does an action and returns the score of the
    game if it is over. For a film, pictures are taken; after so many it is over, too."""
    memory, score = Memory(game.history + 1, game, device), None
    memory.begin(game.reset())
    while score is None and (pictures is None or len(pictures) < most):
        if pictures is not None:
            pictures.append(game.picture())
        score = act(memory=memory, game=game)
    return game.score if score is None else score


def animate(path: Path, films: dict[str, list], every: int, milliseconds: int = 80) -> None:
    """An endless GIF of films (title -> pictures) side by side; one that is over stands still."""
    from PIL import Image, ImageDraw

    pictures = []
    for i in range(0, max(map(len, films.values())), every):
        shown = [film[min(i, len(film) - 1)] for film in films.values()]
        width, height = shown[0].size
        image = Image.new("RGB", (len(shown) * (width + 8) - 8, height + 16), WHITE)
        for k, (title, picture) in enumerate(zip(films, shown, strict=True)):
            image.paste(picture, (k * (width + 8), 16))
            ImageDraw.Draw(image).text((k * (width + 8) + 4, 2), title, fill=BLACK)
        pictures.append(image.quantize(16, dither=Image.Dither.NONE))
    first, *others = pictures
    how = {"duration": milliseconds, "loop": 0}
    first.save(path, format="GIF", save_all=True, append_images=others, **how)
