"""DQN: a replay memory and a target network make Q-learning with a deep network stable.

[N] Mnih et al. Human-level control through deep reinforcement learning. Nature 518, 2015.
[W] Mnih et al. Playing Atari with deep reinforcement learning. arXiv:1312.5602, 2013: without the
    target network. The equations are numbered as in [W].

Reproduced  the ablation of [N], extended data table 3, on CartPole: {replay memory, the newest
            transitions} x {target network, none}, with equal batches and updates
            --game breakout: the same on the pixels of MinAtar, with the optimizer of [N]
            --full: network, preprocessing and recipe of [N] on a game of the Atari 2600 (--rom)
Simplified  four numbers instead of pixels, 12,000 actions instead of 50 million, a small network,
            Adam: it learns in seconds. Squared errors: if they are clipped, the end of a game, rare
            in CartPole, weighs too little, and without a target network values reach millions.
            The 500th step ends a game: no value can be above 99.3. [N] does not say what a batch
            without replay was: here the newest 32 transitions
Claims      exact facts; replay makes learning faster and steadier, in the mean of five seeds; the
            target network stops the over-estimation of values. Not so here: a gain on every seed
            (of 25, one had 1.3 times with, one 1.0 without targets); returns higher with targets
Expected    returns of 245 with replay, 78 without (254, 130 without target network); values of 20
            with a target network, 100 to 340 without; 2 minutes on 2 cores
"""

import copy
import dataclasses
from functools import partial

import numpy as np

import minidl
import minidl.nn.functional as F
from minidl import nn, optim

from . import _ablation, _games, _replay
from . import _lab as lab
from ._ablation import ARMS
from ._lab import setting
from ._replay import Memory

PAPER = lab.Paper(
    year=2015,
    title="Human-level control through deep reinforcement learning",
    claim="Replay and a target network make Q-learning with a deep network stable.",
    published=1_686_180,
    minutes=2,
    items="actions",
    packages=("matplotlib", "tqdm", "PIL", "gymnasium"),
    judged_on=("CartPole-v1",),
)
SMOKE = {"pairs": 2, "steps": 1200}
FULL = {"game": "atari"}
BATCH, GAMMA = 32, 0.99
BOUND = (1 - GAMMA**500) / (1 - GAMMA)  # 99.3: what 500 rewards of 1 are worth, discounted

# Mean - 2 sd of the runs with seeds 0 to 4 (VALUE: + 2 sd), or a torch reference's if stricter:
# the mean over the seeds of a run of the ratio, and a return that each seed reaches.
REPLAY, ALONE, STEADY = (2.2, 180), (1.5, 130), (4.0, 140)
VALUE, VALUES = 21, 4.4  # predicted with a target network; times more without, on each seed


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What depends on the game: [N], extended data table 1."""

    steps: int  # actions in all
    memory: int  # transitions remembered
    start: int  # actions before the first update
    every: int  # actions per update
    copy: int  # updates from one copy into the target network to the next
    anneal: int  # actions in which epsilon falls from 1, the first ones
    epsilon: float  # where it stays
    rate: float  # learning rate
    clipped: bool  # errors clipped and centred RMSProp, as in [N]; else squared errors and Adam


RECIPES = {
    "cartpole": Recipe(12_000, 10_000, 1000, 2, 250, 4800, 0.05, 1e-3, False),
    "breakout": Recipe(100_000, 100_000, 5000, 2, 1000, 50_000, 0.1, 2.5e-4, True),
    "atari": Recipe(50_000_000, 1_000_000, 50_000, 4, 10_000, 1_000_000, 0.1, 2.5e-4, True),
}


@dataclasses.dataclass(frozen=True)
class Config:
    seed: int = setting(0, "Seed of every random choice.", 0)
    game: str = setting("cartpole", "What is played.", choices=tuple(RECIPES))
    rom: str = setting("breakout", "atari: the game.")
    pairs: int = setting(5, "Seeds on which the arms are compared.", 1)
    steps: int = setting(0, "Actions; 0: as many as in the game's recipe.", 0)
    memory: int = setting(0, "Transitions remembered; 0: as many as in the game's recipe.", 0)

    @property
    def seeds(self):
        return range(100 * self.seed, 100 * self.seed + self.pairs)

    @property
    def recipe(self):
        """The game's, with the changes of the command line."""
        r = RECIPES[self.game]
        steps, memory = self.steps or r.steps, self.memory or r.memory
        start = min(r.start, steps // 4, memory // 2)
        return dataclasses.replace(r, steps=steps, memory=memory, start=start)


# --- the method -------------------------------------------------------------------------------


def full_network(actions):
    """[N] Methods: four frames to a value for each action."""
    return nn.Sequential(
        *(_games.Bytes(), nn.Conv2d(4, 32, 8, stride=4), nn.ReLU()),  # (B, 32, 20, 20)
        *(nn.Conv2d(32, 64, 4, stride=2), nn.ReLU()),  # (B, 64, 9, 9)
        *(nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten()),  # (B, 3136)
        *(nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, actions)),
    )


def network(game):
    if game.history == 4:
        return full_network(game.actions)
    if game.dtype == np.uint8:
        return nn.Sequential(
            *(_games.Bytes(), nn.Conv2d(4, 16, 3), nn.ReLU(), nn.Flatten()),  # (B, 1024)
            *(nn.Linear(1024, 128), nn.ReLU(), nn.Linear(128, game.actions)),
        )
    hidden = nn.Linear(4, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU()
    return nn.Sequential(*hidden, nn.Linear(84, game.actions))


def sample(memory, replay):
    """[N] algorithm 1: transitions drawn uniformly from D; without replay the newest ones."""
    ages = np.arange(1, min(BATCH, len(memory)) + 1)
    if replay:
        ages = minidl.randint(1, len(memory) + 1, (BATCH,)).numpy()
    return memory.transitions(memory.count - ages)


@minidl.no_grad()
def targets(older, rewards, ends, following):
    """[W] (2): y = r + gamma max_a' Q(s', a'; theta-), and y = r at the end of an episode. No
    gradient flows into y."""
    return rewards + GAMMA * older(following).amax(1) * ~ends  # (B,)


def objective(clipped, model, older, states, actions, rewards, ends, following):
    """[W] (2): sum of (y - Q(s, a; theta))^2 / 2; [N]: with the errors, in its gradient (3),
    clipped to -1..1, it is Huber's loss. Also Q(s, a)."""
    y = targets(older, rewards, ends, following)
    q = model(states).gather(1, actions[:, None])[:, 0]  # (B,)
    if clipped:
        return F.huber_loss(q, y, reduction="sum"), q
    return F.mse_loss(q, y, reduction="sum") / 2, q


class CentredRMSProp(optim.Optimizer):
    """[N]'s optimizer, from its published program:
    m <- 0.95 m + 0.05 g,  v <- 0.95 v + 0.05 g^2,  w <- w - rate g / sqrt(v - m^2 + 0.01).
    (PyTorch's RMSprop, and so minidl's, adds its epsilon to the root, not under it.)"""

    def __init__(self, parameters, rate):
        super().__init__(parameters, {"lr": rate})

    @minidl.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["mean"], state["square"] = minidl.zeros_like(p), minidl.zeros_like(p)
                mean = state["mean"].mul_(0.95).add_(p.grad, alpha=0.05)
                square = state["square"].mul_(0.95).addcmul_(p.grad, p.grad, value=0.05)
                p.addcdiv_(p.grad, (square - mean * mean + 0.01).sqrt_(), value=-group["lr"])


@minidl.no_grad()
def act(model, memory, game, epsilon):
    """[N] algorithm 1: with probability epsilon a random action, else argmax_a Q(s, a). Returns
    the score of the game if it is over."""
    if minidl.rand(()).item() < epsilon:
        action = minidl.randint(0, game.actions, ()).item()
    else:
        action = model(memory.now()).argmax().item()
    frame, reward, end, score = game.step(action)
    memory.add(action, reward, end, frame)
    return score


def train(run, stage, game, model, replay, target):
    """[N] algorithm 1."""
    r = run.config.recipe
    held = _games.random_states(game, run.device)  # [W] 5.1: their values are followed
    memory = Memory(r.memory, game, run.device)
    older = copy.deepcopy(model) if target else None  # Q(.; theta-)
    optimizer = (CentredRMSProp if r.clipped else optim.Adam)(model.parameters(), r.rate)
    at = lab.Training(run, stage, model, optimizer, older=older, memory=memory, game=game)

    def epsilon(step):
        return max(r.epsilon, 1 - (1 - r.epsilon) * step / r.anneal)

    if not game.playing:
        memory.begin(game.reset())
    while memory.count < r.start:
        act(model, memory, game, epsilon(at.step * r.every + memory.count))
    updates = (r.steps - r.start) // r.every
    for update in at.steps(updates):
        for step in range(r.start + update * r.every, r.start + (update + 1) * r.every):
            score = act(model, memory, game, epsilon(step))
            if score is not None:
                at.curve(f"{stage}: return", score, step + 1)
        batch = sample(memory, replay)
        loss, _ = at.checked(objective, r.clipped, model, older if target else model, *batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if target and (update + 1) % r.copy == 0:
            older.load_state_dict(model.state_dict())
        if (update + 1) % max(1, updates // 25) == 0:
            with minidl.no_grad():
                at.curve(f"{stage}: Q", model(held).amax(1).mean().item(), step + 1)
        at.report(loss.item(), r.every)


# --- the ablation -----------------------------------------------------------------------------


def trial(run, game, stage, seed, replay, target):
    """Mean score of the games that ended in the second half of a training; the same of the worst
    twelfth there; the largest value predicted for held out states, their mean at its peak."""
    minidl.manual_seed(seed)  # the arms of a seed start from the same weights
    model, steps = network(game).to(run.device), run.config.recipe.steps
    train(run, stage, game, model, replay, target)
    if replay and target:
        run.keep(f"agent-{seed}", model)
    late = [end for end in run.curves.get(f"{stage}: return", []) if end[0] > steps / 2]
    ends, scores = np.array(late or [(steps, game.score)]).T
    twelfths = np.ceil(12 * ends / steps)
    worst = min(scores[twelfths == i].mean() for i in set(twelfths))
    return [float(scores.mean()), float(worst), max(q for _, q in run.curves[f"{stage}: Q"])]


def compare(run, game):
    """All arms on all seeds, and the claims. Returns arm -> returns in the second half."""
    c, found = run.config, {arm: [] for arm in ARMS}
    steps = (c.recipe.steps - c.recipe.start) // c.recipe.every
    with run.progress("ablation", len(ARMS) * c.pairs * steps):
        for seed in c.seeds:
            for arm, parts in ARMS.items():
                stage = f"{arm}, seed {seed}"
                result = run.stage(stage, trial, run, game, stage, seed, *parts, steps=steps)
                found[arm].append(result)
    returns, worst, values = ({a: np.array(x)[:, i] for a, x in found.items()} for i in range(3))
    ours, alone, newest, neither = ARMS
    late, claim = "return in the second half", partial(_ablation.claim, run)
    claim("replay", "replay learns faster", late, returns, ours, newest, REPLAY, "316.8, 10.2")
    claim("alone", "also without targets", late, returns, alone, neither, ALONE, "240.7, 3.2")
    claim("steadier", "and more steadily", "worst twelfth of it", worst, ours, newest, STEADY)
    claim("target", "the target network helps", late, returns, ours, alone, None, "316.8, 240.7")
    least = [float((returns[a] / returns[b]).min()) for a, b in ((ours, newest), (alone, neither))]
    about = {"metric": "ratio of the returns", "ours": least[:1], "baseline": least[1:]}
    run.claim("least", "least gain on a seed, also without targets", "reported", None, **about)
    high, low = values[alone], values[ours]
    holds = low.max() <= VALUE and high.min() > BOUND and (high / low).min() >= VALUES
    run.claim(
        "over-estimation",
        f"values stay possible (below {BOUND:.1f}) with a target network only",
        f"<= {VALUE:g}, others > {BOUND:.1f}; >= {VALUES:g} times each",
        bool(holds),
        ours=low.tolist(),
        baseline=high.tolist(),
        metric="largest value, mean of held out states, at its peak",
        better="lower",
    )
    return returns


# --- --full -----------------------------------------------------------------------------------


def full(run, game):
    """[N] Methods: the training, then 30 games with epsilon 0.05. Returns their scores."""
    r, seed = run.config.recipe, run.config.seeds[0]
    minidl.manual_seed(seed)
    model = network(game).to(run.device)
    with run.progress(game.name, (r.steps - r.start) // r.every):
        train(run, "DQN", game, model, replay=True, target=True)
    run.keep(f"agent-{seed}", model)
    return [_games.play(game, partial(act, model, epsilon=0.05), run.device) for _ in range(30)]


# --- what a run measures ----------------------------------------------------------------------


def exact_facts(run):
    """Parts of the method against plain formulas, in float64."""
    with lab.uninitialised():
        run.built = sum(p.numel() for p in full_network(4).parameters())
    model, a, ends = nn.Linear(3, 2).double(), minidl.arange(32) % 2, minidl.arange(32) % 3 == 0
    s, following = minidl.randn(2, 32, 3, dtype=minidl.float64)
    rewards = 2 * minidl.randn(32, dtype=minidl.float64)
    w, b = (p.detach().numpy().copy() for p in model.parameters())
    y = targets(model, rewards, ends, following).numpy()
    best = (following.numpy() @ w.T + b).max(1)
    target_gap = rewards.numpy() + np.where(ends.numpy(), 0, 0.99 * best) - y

    objective(True, model, model, s, a, rewards, ends, following)[0].backward()
    values = s.numpy() @ w.T + b  # (B, 2)
    errors = (values - y[:, None]).clip(-1, 1) * np.eye(2)[a.numpy()]
    gradient_gap = model.weight.grad.numpy() - errors.T @ s.numpy()

    optimizer, m, v = CentredRMSProp([model.weight], rate=0.1), 0, 0
    for _ in range(5):
        g = np.cos(w)
        model.weight.grad = minidl.tensor(g)
        optimizer.step()
        m, v = 0.95 * m + 0.05 * g, 0.95 * v + 0.05 * g * g
        w -= 0.1 * g / np.sqrt(v - m * m + 0.01)
    rmsprop_gap = model.weight.detach().numpy() - w

    for id, text, gap, most in (
        ("terminal", "y is r at the end of an episode, else r + 0.99 max Q", target_gap, 1e-12),
        ("gradient", "errors are clipped, no gradient flows into y", gradient_gap, 1e-12),
        ("rmsprop", "RMSProp is centred, 0.01 under its root", rmsprop_gap, 1e-12),
        ("stacking", "states of the memory are what was seen", _replay.stacking_gap(), 0),
    ):
        about = {"metric": "difference", "better": "lower", "exact": True}
        gap = float(abs(gap).max())
        run.claim(id, text, f"difference <= {most:g}", gap <= most, ours=[gap], **about)


def load(config, size):
    """The game, or an error that says what to do, before any work is done."""
    if 0 < min(config.steps or BATCH, config.memory or BATCH) < BATCH:
        raise lab.Misuse(f"--steps and --memory must be at least {BATCH}, or 0")
    return [_games.make(config.game, config.rom)]


def measure(run, game):
    exact_facts(run)
    if run.size == "full":
        scores, where = run.stage("DQN", full, run, game), "extended data table 2"
        about = {"metric": "score", "paper": (401.2, where, "Breakout, 50 million frames")}
        text = f"{game.name}: mean score of 30 games"
        run.claim("score", text, "reported", None, ours=[sum(scores) / 30], **about)
    else:
        returns = compare(run, game)
        with run.figure(12, 3.6) as figure:
            learning, points, expected = figure.subplots(1, 3)
            _ablation.draw_learning(learning, run)
            _ablation.draw_returns(points, returns)
            _ablation.draw_values(expected, run, BOUND)
    _ablation.film(run, game, network, act)
