"""DQN: the facts of the method, the replay memory, the games, resuming; claims under `claims`."""

import builtins
import json
from collections import deque
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from paper_checks import finite_gradients, interrupted_after, loss_of_weights, outcome

import minidl
from minidl import nn, optim
from minidl.testing import assert_close, gradcheck, to_numpy
from papers import _games, _lab, _replay, dqn

# ------------------------------------------------------------------------------------- the method


def batch(size, shape, actions=2, dtype=minidl.float64):
    """States, actions, rewards, ends, next states; every third one ends."""
    minidl.manual_seed(0)
    states, following = minidl.randn(2, size, *shape, dtype=dtype)
    rewards = minidl.randn(size, dtype=dtype)
    return states, minidl.arange(size) % actions, rewards, minidl.arange(size) % 3 == 0, following


def test_full_size():
    """The published number of parameters; one forward and backward reaches each of them."""
    minidl.manual_seed(0)
    model = dqn.full_network(4)
    assert sum(p.numel() for p in model.parameters()) == dqn.PAPER.published == 1_686_180
    x, *rest = batch(4, (4, 84, 84), actions=4, dtype=minidl.float32)
    assert finite_gradients(model, 99 * x, rest, partial(full_objective, older=model)) == []
    widths = [layer(x).shape[1:] for layer in (model[:2], model[:4], model[:6])]
    assert widths == [(32, 20, 20), (64, 9, 9), (64, 7, 7)]


def full_objective(model, x, rest, older):
    return dqn.objective(True, model, older, x, *rest)


@pytest.mark.parametrize(("actions", "count"), [(6, 1_687_206), (9, 1_688_745), (18, 1_693_362)])
def test_sizes_for_other_games(actions, count):
    with _lab.uninitialised():
        assert sum(p.numel() for p in dqn.full_network(actions).parameters()) == count


def test_targets_by_a_loop():
    """[W] (2): r at the end of an episode, else r + 0.99 max Q(s', a')."""
    _, _, rewards, ends, following = batch(12, (3,))
    model = nn.Linear(3, 4).double()
    y = dqn.targets(model, rewards, ends, following)
    values = to_numpy(model(following))
    for i in range(12):
        expected = rewards[i].item() + (0 if i % 3 == 0 else 0.99 * max(values[i]))
        assert abs(y[i].item() - expected) < 1e-12


def test_no_gradient_through_the_target():
    """Neither when the target network is another one nor when it is the same."""
    states, actions, rewards, ends, following = batch(12, (3,))
    model, older = nn.Linear(3, 2).double(), nn.Linear(3, 2).double()
    dqn.objective(False, model, older, states, actions, rewards, ends, following)[0].backward()
    assert older.weight.grad is None
    model.weight.grad = None
    dqn.objective(False, model, model, states, actions, rewards, ends, following)[0].backward()
    y = dqn.targets(model, rewards, ends, following)
    errors = (model(states).gather(1, actions[:, None])[:, 0] - y).detach()
    expected = minidl.zeros(2, 3, dtype=minidl.float64)
    for error, action, state in zip(errors, actions.tolist(), states, strict=True):
        expected[action] += error * state
    assert_close(model.weight.grad, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("clipped", [True, False])
def test_errors_are_clipped_where_they_should_be(clipped):
    """The gradient with respect to a value is its error, clipped to -1..1; of other actions 0."""
    model = nn.Linear(2, 2, bias=False).double()
    with minidl.no_grad():
        model.weight.zero_()
    states = minidl.eye(2, dtype=minidl.float64)[minidl.tensor([0, 1])]
    rewards, ends = minidl.tensor([5.0, -0.25]).double(), minidl.tensor([True, True])
    actions = minidl.tensor([1, 0])
    dqn.objective(clipped, model, model, states, actions, rewards, ends, states)[0].backward()
    expected = [[0, 0.25], [-1 if clipped else -5, 0]]
    assert to_numpy(model.weight.grad).tolist() == expected


@pytest.mark.parametrize("clipped", [True, False])
def test_gradient_of_the_loss(clipped):
    minidl.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    older = nn.Linear(3, 2).double()
    x, *rest = batch(6, (3,))

    def objective(model, x, rest):
        return dqn.objective(clipped, model, older, x, *rest)

    assert gradcheck(*loss_of_weights(model, objective, x, rest))


def test_rmsprop_by_the_formula():
    """Against floats, one after the other; minidl.optim.RMSprop is another function."""
    w, m, v = 0.7, 0.0, 0.0
    tensors = [minidl.tensor(0.7, dtype=minidl.float64, requires_grad=True) for _ in range(2)]
    ours = dqn.CentredRMSProp([tensors[0]], rate=0.1)
    other = optim.RMSprop([tensors[1]], lr=0.1, alpha=0.95, eps=0.01, centered=True)
    for step in range(6):
        g = 0.3 * (-1) ** step + 0.1
        m, v = 0.95 * m + 0.05 * g, 0.95 * v + 0.05 * g**2
        w -= 0.1 * g / (v - m**2 + 0.01) ** 0.5
        for tensor, optimizer in zip(tensors, (ours, other), strict=True):
            tensor.grad = minidl.tensor(g, dtype=minidl.float64)
            optimizer.step()
    assert abs(tensors[0].item() - w) < 1e-14
    assert abs(tensors[1].item() - w) > 0.1


def test_one_batch_is_learnt_by_heart():
    """The values of a batch reach their targets, with the optimizer of [N]."""
    minidl.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 2))
    x, *rest = batch(16, (4,), dtype=minidl.float32)
    older, optimizer = nn.Linear(4, 2), dqn.CentredRMSProp(model.parameters(), 1e-3)
    first = dqn.objective(True, model, older, x, *rest)[0].item()
    for _ in range(400):
        optimizer.zero_grad()
        dqn.objective(True, model, older, x, *rest)[0].backward()
        optimizer.step()
    last, q = dqn.objective(True, model, older, x, *rest)
    assert last.item() < 0.01 * first
    assert abs(q - dqn.targets(older, *rest[1:])).max() < 0.1


# ------------------------------------------------------------------------------------- the memory


class Frames:
    """A game of numbered frames, two channels of one pixel, and what an agent sees of them."""

    shape, dtype, history = (2, 1, 1), np.uint8, 4

    def __init__(self):
        self.number, self.stack, self.seen = 0, deque(maxlen=4), []

    def frame(self, first=False):
        self.number += 1
        if first:
            self.stack.extend([0] * 4)
        self.stack.append(self.number)
        self.seen.append(list(self.stack))
        return np.array([self.number, 255 - self.number], np.uint8).reshape(2, 1, 1)


@pytest.mark.parametrize("count", [3, 30, 200])
def test_states_of_the_memory_are_what_was_seen(count):
    """Before it is full and after, over the ends of episodes."""
    rng = np.random.default_rng(0)
    game = Frames()
    memory = _replay.Memory(50, game)
    memory.begin(game.frame(first=True))
    ends = rng.random(count) < 0.2
    for number, end in enumerate(ends):
        memory.add(number % 5, number / 7, end, game.frame(first=end))
    assert len(memory) == min(count, 46)
    times = np.arange(count - len(memory), count)
    states, actions, rewards, ended, following = memory.transitions(times)
    assert states.dtype == minidl.uint8 and states.shape == (len(times), 8, 1, 1)
    assert to_numpy(memory.now())[0, ::2, 0, 0].tolist() == game.seen[count]
    for i, time in enumerate(times):
        assert to_numpy(states)[i, ::2, 0, 0].tolist() == game.seen[time]
        white = [255 - number if number else 0 for number in game.seen[time]]
        assert to_numpy(states)[i, 1::2, 0, 0].tolist() == white
        if not ends[time]:
            assert to_numpy(following)[i, ::2, 0, 0].tolist() == game.seen[time + 1]
        expected = (time % 5, np.float32(time / 7), ends[time])
        assert (actions[i].item(), rewards[i].item(), ended[i].item()) == expected
    assert memory.frames.nbytes == 50 * 2  # each frame once, a byte a pixel


def test_batches_are_drawn_uniformly_or_the_newest():
    game = _games.CartPole()
    memory = _replay.Memory(64, game)
    memory.begin(np.zeros(4, np.float32))
    for number in range(150):
        memory.add(0, number, False, np.full(4, number + 1, np.float32))
    minidl.manual_seed(0)
    drawn = np.concatenate([to_numpy(dqn.sample(memory, True)[2]) for _ in range(200)])
    counts = np.bincount(drawn.astype(int), minlength=150)
    assert counts[:87].sum() == 0 and counts[87:].min() > 50  # 6,400 draws from 63
    states, _, rewards, _, following = dqn.sample(memory, False)
    assert rewards.tolist() == list(range(149, 117, -1))
    assert to_numpy(following - states).tolist() == [[1] * 4] * 32


def test_actions_are_the_best_or_random():
    game, model = _games.CartPole(), nn.Linear(4, 2)
    with minidl.no_grad():
        model.weight.zero_()
        model.bias.copy_(minidl.tensor([1.0, 2.0]))
    memory = _replay.Memory(2001, game)
    minidl.manual_seed(0)
    memory.begin(game.reset())
    for epsilon, least, most in ((0, 500, 500), (0.4, 375, 425), (1, 225, 275)):
        for _ in range(500):
            dqn.act(model, memory, game, epsilon)
        assert least <= memory.actions[memory.count - 500 : memory.count].sum() <= most


def test_epsilon_falls_and_stays(start, monkeypatch):
    seen, act = [], dqn.act

    def watch(model, memory, game, epsilon):
        seen.append(epsilon)
        return act(model, memory, game, epsilon)

    monkeypatch.setitem(
        dqn.RECIPES,
        "cartpole",
        dqn.RECIPES["cartpole"].__class__(400, 300, 100, 2, 50, 200, 0.1, 1e-3, False),
    )
    monkeypatch.setattr(dqn, "act", watch)
    start("dqn", "--smoke", "--pairs", 1, "--steps", 400)
    np.testing.assert_allclose(seen[:200], 1 - 0.9 * np.arange(200) / 200)
    assert seen[200:400] == [0.1] * 200


def test_a_memory_that_is_saved_and_one_that_is_not(capsys, monkeypatch, tmp_path):
    game = _games.CartPole()
    minidl.manual_seed(0)
    memory, other = (_replay.Memory(40, game) for _ in range(2))
    memory.begin(game.reset())
    for _ in range(60):
        dqn.act(None, memory, game, epsilon=1)
    minidl.save(memory.state_dict(), tmp_path / "memory")
    other.load_state_dict(minidl.load(tmp_path / "memory"))
    assert other.count == 60
    for a, b in zip(*(m.transitions(np.arange(25, 60)) for m in (memory, other)), strict=True):
        assert (a == b).all()
    monkeypatch.setattr(_replay, "SAVED", 500)
    assert memory.state_dict() == {}
    other.load_state_dict({})
    assert "filled anew" in capsys.readouterr().out


# -------------------------------------------------------------------------------------- the games


def test_cart_pole_is_gymnasium_s():
    """The same states and lengths as `gymnasium.make("CartPole-v1")` with its time limit."""
    import gymnasium

    theirs, ours = gymnasium.make("CartPole-v1"), _games.CartPole()
    ours.reset()
    state, _ = theirs.reset(seed=3)
    ours.env.reset(seed=3)
    for step in range(600):  # a hand-made policy that lasts
        action = int(state[2] + 0.3 * state[3] + 0.02 * state[0] + 0.05 * state[1] > 0)
        state, _, fell, late, _ = theirs.step(action)
        frame, reward, end, score = ours.step(action)
        assert (reward, end) == (1, fell or late)
        if end:
            assert score == step + 1 == 500
            break
        assert score is None and (frame == state).all()


def test_breakout_of_minatar():
    game = _games.make("breakout", "")
    minidl.manual_seed(0)
    frame = game.reset()
    assert frame.shape == game.shape == (4, 10, 10) and set(frame.ravel()) == {0, 255}
    scores, rewards = [], 0
    for _ in range(200):
        frame, reward, end, score = game.step(minidl.randint(0, game.actions, ()).item())
        rewards += reward
        if end:
            scores.append(score)
    assert len(scores) > 5 and rewards - game.score == sum(scores) > 0
    assert dqn.network(game)(minidl.tensor(frame[None])).shape == (1, 3)


class Emulator:
    """An Atari 2600 that shows how often it was asked to act, and remembers what for."""

    def __init__(self, lives=3):
        self.acts, self.left = [], lives

    def reset_game(self):
        self.acts, self.left = [], 3

    def act(self, move):
        self.acts.append(move)
        if len(self.acts) % 10 == 0:
            self.left -= 1
        return -7 if len(self.acts) % 3 else 100

    def lives(self):
        return self.left

    def game_over(self):
        return self.left == 0

    def getScreenRGB(self):
        screen = np.zeros((210, 160, 3), np.uint8)
        screen[len(self.acts) % 200 : len(self.acts) % 200 + 10] = 255
        return screen


def test_atari_frames_and_episodes(monkeypatch):
    """Four frames an action, the maximum of the last two, 84 x 84 luminances, clipped rewards, a
    lost life ends an episode, up to 30 idle frames at the start."""
    game = _games.make("atari", "breakout")
    assert game.actions == 4 and game.record()["name"] == "Atari breakout"
    game.ale = Emulator()
    starts = set()
    minidl.manual_seed(0)
    for _ in range(300):
        game.reset()
        assert set(game.ale.acts) == {game.moves[0]}
        starts.add(len(game.ale.acts))
    assert starts == set(range(1, 31))
    game.ale.acts, game.ale.left = [], 3
    frame, reward, end, score = game.step(2)
    assert game.ale.acts == [game.moves[2]] * 4
    assert frame.shape == (1, 84, 84) and frame.dtype == np.uint8
    bright = np.zeros((210, 160))
    bright[3:14] = 255  # white from line 3 on in the screen before, to line 13 in this one
    assert abs(frame[0] - shrunk(bright)).max() <= 1
    assert (reward, game.score) == (1, 100 - 3 * 7) and not end and score is None
    assert [game.step(1)[1:3] for _ in range(2)] == [(1, False), (1, True)]  # the tenth frame
    game.ale.left = 1
    for _ in range(2):
        frame, _, end, score = game.step(3)
    assert end and score is not None and (game.score, game.ale.left) != (score, 0)


def shrunk(grey):
    """84 x 84 means of the pixels (210, 160) whose centres lie in a pixel."""
    for _ in range(2):
        pixel = np.ceil((np.arange(len(grey)) + 0.5) * 84 / len(grey)) - 1
        grey = np.stack([grey[pixel == i].mean(0) for i in range(84)], axis=1)  # and transposed
    return grey


def test_a_frame_of_atari_is_the_mean_luminance():
    game = _games.make("atari", "pong")
    minidl.manual_seed(0)
    game.reset()
    expected = shrunk(game.screen.astype(float) @ np.array([0.299, 0.587, 0.114]))
    assert abs(game.frame(game.screen)[0] - expected).max() < 2 < 10 < expected.std()


@pytest.mark.parametrize(("game", "module"), [("breakout", "minatar"), ("atari", "ale_py")])
def test_a_missing_package_is_named(start, monkeypatch, game, module):
    usual = builtins.__import__

    def without(name, *arguments, **more):
        if name.partition(".")[0] == module:
            raise ImportError(name)
        return usual(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(_lab.Misuse, match=r'pip install -e "\.\[atari\]"'):
        start("dqn", "--game", game)
    assert not Path("runs").exists()


def test_an_unknown_game_of_atari_is_refused(start):
    with pytest.raises(_lab.Misuse, match=r"no Atari game 'breakfast'; there are: .*breakout"):
        start("dqn", "--full", "--rom", "breakfast")


# ----------------------------------------------------------------------------------------- a run

TINY = "--smoke --pairs 1 --steps 400 --memory 150".split()


def test_a_run_can_be_repeated_and_resumed_bit_for_bit(start, monkeypatch):
    """Stopped in the first arm, then in the third; 162 steps each, games on the way."""
    start("dqn", *TINY, "--out", "whole")
    start("dqn", *TINY, "--out", "again")
    assert outcome("again", "agent.gif") == outcome("whole", "agent.gif")
    for after, *resume in ((101,), (380, "--resume")):
        interrupted_after(after, monkeypatch, start, "dqn", *TINY, "--out", "parts", *resume)
        assert json.loads(Path("parts/metrics.json").read_text())["state"] == "interrupted"
    start("dqn", "--smoke", "--out", "parts", "--resume")
    assert outcome("parts", "agent.gif") == outcome("whole", "agent.gif")


def test_a_run_on_pixels_is_resumed_bit_for_bit(start, monkeypatch):
    """The emulator and its random numbers are in the checkpoint. Stopped in the first arm and in
    the third; 112 steps each, in the middle of a game."""
    pytest.importorskip("minatar")
    options = "--smoke --game breakout --pairs 1 --steps 300 --memory 200".split()
    start("dqn", *options, "--out", "whole")
    for after, *resume in ((51,), (230, "--resume")):
        interrupted_after(after, monkeypatch, start, "dqn", *options, "--out", "parts", *resume)
        game = minidl.load("parts/checkpoints/last.safetensors")["game"]
        assert len(game["key"]) == 624
    start("dqn", "--smoke", "--out", "parts", "--resume")
    assert outcome("parts", "agent.gif") == outcome("whole", "agent.gif")
    assert [claim["holds"] for claim in outcome("whole")[0]["claims"][4:]] == [None] * 6


def test_the_newest_are_no_more_than_there_are():
    game = _games.make("cartpole", "")
    memory = _replay.Memory(20, game)
    memory.begin(game.reset())
    for count in range(1, 40):
        frame, reward, end, _ = game.step(count % 2)
        memory.add(count % 2, reward, end, frame)
        actions = dqn.sample(memory, replay=False)[1].tolist()
        assert actions == [i % 2 for i in range(count, count - min(count, 19), -1)]


def test_claims_and_pictures_of_a_run(start):
    from PIL import Image

    start("dqn", *TINY, "--out", "x")
    record = outcome("x")[0]
    exact = ["terminal", "gradient", "rmsprop", "stacking"]
    judged = [*exact, "replay", "alone", "steadier", "target", "least", "over-estimation"]
    assert [claim["id"] for claim in record["claims"]] == judged
    assert [claim["id"] for claim in record["claims"] if claim["holds"]] == exact
    assert record["params"] == {"built": 1_686_180, "published": 1_686_180}
    assert record["data"]["name"] == "CartPole-v1"
    assert record["pictures"] == ["figure.png", "agent.gif"]
    assert Path("x/figure.png").stat().st_size < 250_000
    with Image.open("x/agent.gif") as film:
        assert film.n_frames > 1 and Path("x/agent.gif").stat().st_size < 300_000


def test_the_arms_differ_in_what_they_say(start, monkeypatch):
    """The same weights at the start; replay or the newest; a target network or none."""
    weights, drawn, older = [], [], []
    sample, objective = dqn.sample, dqn.objective

    def watch_sample(memory, replay):
        drawn.append(replay)
        return sample(memory, replay)

    def watch_objective(clipped, model, other, *batch):
        if clipped:  # an exact fact
            return objective(clipped, model, other, *batch)
        older.append(other is not model)
        if len(older) % 162 == 1:
            weights.append([to_numpy(p).copy() for p in model.parameters()])
        return objective(clipped, model, other, *batch)

    monkeypatch.setattr(dqn, "sample", watch_sample)
    monkeypatch.setattr(dqn, "objective", watch_objective)
    start("dqn", *TINY)
    assert drawn == [True] * 324 + [False] * 324
    assert older == ([True] * 162 + [False] * 162) * 2
    for other in weights[1:]:
        for a, b in zip(weights[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_target_network_is_a_copy_of_an_earlier_network(start, monkeypatch):
    """It changes every `copy` updates, and is then what the network was."""
    seen, objective = [], dqn.objective

    def watch(clipped, model, older, *batch):
        if not clipped:  # not an exact fact
            seen.append([to_numpy(next(m.parameters())).copy() for m in (model, older)])
        return objective(clipped, model, older, *batch)

    recipe = dqn.dataclasses.replace(dqn.RECIPES["cartpole"], copy=40)
    monkeypatch.setitem(dqn.RECIPES, "cartpole", recipe)
    monkeypatch.setattr(dqn, "objective", watch)
    start("dqn", *TINY)
    for i in range(162):
        np.testing.assert_array_equal(seen[i][1], seen[i - i % 40][0])
    assert (seen[39][0] != seen[40][1]).any()


def test_a_broken_fact_is_reported(start, monkeypatch):
    """A target that forgets the end of an episode; minidl's RMSprop for that of [N]."""

    def endless(older, rewards, ends, following):
        return (rewards + dqn.GAMMA * older(following).amax(1)).detach()

    def rmsprop(parameters, rate):
        return optim.RMSprop(parameters, rate, alpha=0.95, eps=0.1, centered=True)

    for name, broken, claim in (
        ("targets", endless, "terminal"),
        ("CentredRMSProp", rmsprop, "rmsprop"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(dqn, name, broken)
            run = start("dqn", *TINY, "--out", claim)
            assert [claim["id"] for claim in run.claims if claim["holds"] is False] == [claim]


def test_full_run_resumes_with_a_refilled_memory(start, monkeypatch, capsys):
    """The network and recipe of [N] on Atari, for a few updates."""
    monkeypatch.setattr(_games, "play", lambda *arguments, **more: 1.0)
    monkeypatch.setattr(dqn._ablation, "film", lambda *arguments: None)
    monkeypatch.setattr(_replay, "SAVED", 0)
    options = ["--full", "--steps", 80, "--memory", 60, "--out", "x"]
    interrupted_after(4, monkeypatch, start, "dqn", *options)
    checkpoint = minidl.load("x/checkpoints/last.safetensors")
    assert checkpoint["step"] == 4 and checkpoint["memory"] == checkpoint["game"] == {}
    capsys.readouterr()
    run = start("dqn", "--full", "--resume", "--out", "x")
    assert (
        "the replay memory is not in the checkpoint: it is filled anew" in capsys.readouterr().out
    )
    assert len(Path("x/log.jsonl").read_text().splitlines()) == 0  # 15 updates
    assert run.claims[-1]["ours"] == [1.0] and run.claims[-1]["holds"] is None
    assert minidl.load("x/checkpoints/agent-0.safetensors")["1.weight"].shape == (32, 4, 8, 8)


@pytest.mark.claims
def test_claims_on_three_seeds(tmp_path, monkeypatch):
    from papers.__main__ import main

    monkeypatch.undo()
    assert main(["verify", "dqn", "--seeds", "3", "--out", str(tmp_path)]) == 0
