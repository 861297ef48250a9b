"""rewrite: alternating f and f* in a model that is there, reversibly (arXiv:2405.03712)."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

import actcomp as ac

from ..errors import ActcompError, ArgumentError, NoDecomposition
from . import effect, flow, folding, layers, lifting
from .description import scaled
from .edits import Edits, Elementwise
from .explanation import Explanation, Row
from .flow import Flow
from .selection import Chosen, select
from .sites import Site

MODES = ("global", "split", "lift")
WIDTHS = ("same", "matched")
_RULES = ("reflect", "reciprocal", "inverse")


def rewrite(
    model: nn.Module,
    rule: str = "inverse",
    mode: str = "global",
    *,
    start: int = 0,
    sites: Chosen = None,
    example: Any = None,
    gains: bool = True,
    width: str = "same",
    cut: Any = None,
    eps: float | None = None,
    anchor: Any = "auto",
    fold: bool = False,
    blend: int | None = None,
    allow_noop: bool = False,
) -> Rewriting:
    """Alternates f and its adversary f* in a model, in place: what :meth:`Rewriting.undo` takes back.

    The activations count 0, 1, 2 ... in order of execution; even ones keep f, odd ones get f* (``rule``, ``eps``,
    ``anchor`` as for :func:`actcomp.adversary`). ``start``: the number of the first, so that 1 begins with f*.
    ``sites``: which activations: paths, indices among those found, or a predicate of :class:`Site`; the others are left
    alone and not counted.
    ``example``: a tensor, positional inputs, or a mapping of keywords, on which the model runs once without gradients:
    then the order is that of execution and all surroundings are seen; without it the order is that of definition and
    only the surroundings in ``nn.Sequential`` are known.

    ``mode``: "global" puts f* in the place of f. "lift" puts the lifted activation F of :func:`actcomp.decompose` (with
    the option ``cut``) at every site, and opposes nothing. "split" puts F at even and its split adversary F* at odd
    sites. Both need an nn.Linear or nn.Conv directly before each site, which gets siblings that start as copies of it:
    since F(x, ..., x) = f(x) a model that is only lifted computes at first what it did. ``width`` "matched" narrows the
    hidden layers by one ratio so that the number of weights stays about the same (nn.Linear before and after).

    ``gains``: scale each f* so that E f*(z)^2 = E f(z)^2, z ~ N(0, 1), by a fixed factor in its kernel, which
    ``explain()`` states; for F* on equal inputs.

    In a trained model: ``fold`` changes the signs of the neighbouring weights so that f*(x) = +-f(+-x) computes exactly
    what f did; ``blend=n`` puts (1 - t) f + t f*, where :meth:`Rewriting.step` takes t from 0 to 1 in n steps.

    Make optimisers afterwards. Raises ArgumentError for models without activations, rewritten, scripted or compiled,
    for sites that do not fit, and, unless ``allow_noop`` or ``fold``, where f* can change nothing at any site; and what
    adversary, decompose and moments raise. The model is unchanged then.
    """
    options = _Options(rule, mode, start, gains, width, cut, eps, anchor, fold, blend, allow_noop)
    options.check()
    if isinstance(model, nn.Module) and any(isinstance(m, layers.Rewritten) for m in model.modules()):
        raise ArgumentError("the model is rewritten already", do="plan.undo() first, or rewrite a fresh model")
    found, seen = flow.of_model(model, example)
    plans = [_planned(one, k + start, options) for k, one in enumerate(select(found, sites))]
    _require_change(plans, seen, options)
    return _Work(model, seen, options, plans).done()


@dataclass(frozen=True)
class _Options:
    rule: str
    mode: str
    start: int
    gains: bool
    width: str
    cut: Any
    eps: float | None
    anchor: Any
    fold: bool
    blend: int | None
    allow_noop: bool

    def check(self) -> None:
        for what, value, known in (("mode", self.mode, MODES), ("width", self.width, WIDTHS)):
            if value not in known:
                raise ArgumentError(f"there is no {what} {value!r}", do=f"use one of {', '.join(known)}")
        if isinstance(self.start, bool) or not isinstance(self.start, int) or self.start < 0:
            raise ArgumentError(f"start is {self.start!r}", do="give a whole number: 0 begins with f, 1 with f*")
        if self.mode == "global" and (self.width != "same" or self.cut is not None):
            raise ArgumentError("width and cut belong to lifted activations", do='pass mode="lift" or mode="split"')
        if self.blend is not None and (
            isinstance(self.blend, bool) or not isinstance(self.blend, int) or self.blend < 1
        ):
            raise ArgumentError(f"blend is {self.blend!r}", do="give the number of steps from f to f*, 1 or more")
        if self.blend is not None and (self.fold or self.mode == "lift"):
            why = "folding keeps the outputs" if self.fold else "a lifted activation computes f at first"
            raise ArgumentError(f"there is nothing to blend: {why}", do="leave blend away")
        if self.fold and self.mode != "global":
            raise ArgumentError("signs are folded for one f* in the place of one f", do='pass mode="global"')
        ac.adversary("relu", rule=self.rule, eps=self.eps, anchor=self.anchor)  # refuses what is not known


@dataclass(eq=False)
class _Plan:
    """What is to stand at a site: ``new`` (None: what is there stays), blended from ``first`` where asked for."""

    site: Site
    layer: int
    f: ac.Activation
    form: str
    new: ac.Activation | None
    first: ac.Activation | None = None
    star: ac.Adversary | None = None
    gain: float = 1.0
    learned: tuple[str, ...] = ()


@contextlib.contextmanager
def _at(site: Site) -> Iterator[None]:
    """Errors of the mathematics, with the site that they are about."""
    try:
        yield
    except NoDecomposition as fault:
        fix = 'leave the site out with sites=, or pass another cut=, or mode="global"'
        raise NoDecomposition(f"{site.path}: {fault.what}", do=fix) from fault
    except ActcompError as fault:
        raise type(fault)(f"{site.path}: {fault.what}", do=fault.do) from fault


def _planned(site: Site, layer: int, options: _Options) -> _Plan:
    if site.source is None:
        raise ArgumentError(f"no formula is known for {site.path}: {site.label}", do="leave it out with sites=")
    channels = layers.per_channel(site.original, tuple(site.parameters))
    if channels is not None:
        what = f"{site.path} has a value of {channels} for each channel, and no one adversary"
        raise ArgumentError(what, do="leave it out with sites=")
    values, learned = layers.present(site.original, site.parameters)
    with _at(site):
        own = site.function().activation
        f = ac.activation(own, parameters=values) if values != {p.name: p.default for p in own.parameters} else own
        odd, lifted = layer % 2 == 1 and options.mode != "lift", options.mode != "global"
        gate = ac.decompose(f, options.cut).lifted if lifted else None
        if not odd:
            return _Plan(site, layer, f, "F" if lifted else "f", gate, learned=learned)
        split = "split" if lifted else "global"
        star = ac.adversary(
            f, rule=options.rule, mode=split, cut=options.cut, eps=options.eps, anchor=options.anchor
        )  # fmt: skip
        # f* of changed signs has the moments of f
        gain = _gain(f, star) if options.gains and star.sign_symmetric is None else 1.0
        new = scaled(star, gain)
    return _Plan(site, layer, f, "F*" if lifted else "f*", new, gate if lifted else f, star, gain, learned)


def _gain(f: ac.Activation, star: ac.Activation) -> float:
    """The factor for f* with E f*^2 = E f^2, z ~ N(0, 1)."""
    try:
        return math.sqrt(float(ac.moments(f).square) / float(ac.moments(_diagonal(star)).square))
    except ActcompError as fault:
        raise type(fault)(f"no gain: {fault.what}", do="pass gains=False, or another rule") from fault


def _diagonal(f: ac.Activation) -> ac.Activation:
    """F(x, ..., x)."""
    if len(f.inputs) == 1:
        return f
    x = f.inputs[0]
    together = f.expression.xreplace(dict.fromkeys(f.inputs, x))
    return ac.Activation(together, (x,), f.parameters, f"{f.name} on equal inputs")


def _effect(plan: _Plan, seen: Flow) -> tuple[str, str]:
    if plan.new is None:
        return "no", "f stays"
    if plan.form in ("F", "F*"):
        return "yes", "siblings learn on their own"
    assert plan.star is not None
    return effect.effect(seen, seen.of[plan.site], plan.star.sign_symmetric)


def _require_change(plans: Sequence[_Plan], seen: Flow, options: _Options) -> None:
    """Raises ArgumentError where nothing could change."""
    new = [plan for plan in plans if plan.new is not None]
    if not new:
        what = f"nothing would change: there is one site, {plans[0].site.path}, and it keeps f"
        raise ArgumentError(what, do="pass start=1, which begins with f*")
    if options.allow_noop or options.fold or options.mode != "global":
        return
    effects = [_effect(plan, seen) for plan in new]
    if all(word == "no" for word, _ in effects):
        form = new[0].star.sign_symmetric if new[0].star is not None else ""
        what = f"rule={options.rule!r} can change nothing: {form} at {new[0].site.path}, and {effects[0][1]}"
        where = f" (so at all {len(new)} sites)" if len(new) > 1 else ""
        others = ", ".join(map(repr, _mattering(new[0].f)))
        fix = f"pass rule= {others}, " if others else "pass "
        raise ArgumentError(what + where, do=f'{fix}mode="lift" or "split", or allow_noop=True')
    if not any(word == "yes" for word, _ in effects):
        message = f"whether rule={options.rule!r} can change anything here is not known: pass example= to see"
        warnings.warn(message, stacklevel=3)


def _mattering(f: ac.Activation) -> list[str]:
    """The rules whose adversary is not f with changed signs."""
    found = []
    for rule in _RULES:
        with contextlib.suppress(ActcompError):
            found += [rule] * (ac.adversary(f, rule=rule).sign_symmetric is None)
    return found


@dataclass(eq=False)
class _Work:
    """A rewriting in the making: everything is made first, and then put there."""

    model: nn.Module
    seen: Flow
    options: _Options
    plans: list[_Plan]
    blends: list[layers.Blended] = field(default_factory=list)
    grown: dict[Site, int] = field(default_factory=dict)
    flops: dict[Site, int] = field(default_factory=dict)

    def done(self) -> Rewriting:
        flips: list[folding.Flip] = []
        puts = self.global_puts() if self.options.mode == "global" else self.lifted_puts()
        if self.options.fold:
            for plan in self.plans:
                if plan.star is not None:
                    nodes = self.seen.of[plan.site]
                    flips += folding.flips(self.seen, nodes, plan.star.sign_symmetric, plan.site.path)
        explanation = Explanation(tuple(map(self.row, self.plans)), self.remarks())
        edits = Edits()
        try:
            for put in puts:
                put(edits)
        except BaseException:
            edits.undo()
            raise
        folding.flip(flips)
        return Rewriting(self.model, self.options.rule, self.options.mode, explanation, edits, flips, self.blends,
                         self.options.blend)  # fmt: skip

    def made(self, plan: _Plan) -> nn.Module:
        """The module of a plan."""
        assert plan.new is not None
        new = self.opposed(plan, plan.new)
        if self.options.blend is None or plan.star is None:
            return new
        first: Any = plan.site.original
        if plan.form == "F*":
            assert plan.first is not None
            first = self.opposed(plan, plan.first)
        elif plan.site.kind == "call":
            first = Elementwise(plan.site.function())
        blended = layers.Blended(first, new)
        self.blends.append(blended)
        return blended

    def opposed(self, plan: _Plan, f: ac.Activation) -> nn.Module:
        names = [p.name for p in f.parameters]
        learned = [name for name in plan.learned if name in names]
        like = getattr(plan.site.original, learned[0]) if learned else None
        told = {} if like is None else {"device": like.device, "dtype": like.dtype}
        return layers.Opposed(f, learnable=learned, **told)

    def global_puts(self) -> list[Callable[[Edits], None]]:
        return [_put(plan.site, self.made(plan)) for plan in self.plans if plan.new is not None]

    def lifted_puts(self) -> list[Callable[[Edits], None]]:
        matched = self.options.width == "matched"
        new = [(plan, plan.new) for plan in self.plans if plan.new is not None]
        blocks = [lifting.block(self.seen, plan.site, len(f.inputs), matched) for plan, f in new]
        widths = lifting.narrow(blocks) if matched else lifting.Layers()
        puts: list[Callable[[Edits], None]] = []
        own = {id(b.linear) for b in blocks}
        for (plan, _), b in zip(new, blocks, strict=True):
            linear = widths.of(b.linear)
            lifted = layers.Lifted(linear, b.copies, self.made(plan))
            where = self.seen.path(b.linear)
            puts += [self.child(b.linear, lifted), _put(plan.site, layers.Moved(where))]
            more = b.copies * _count(linear) - _count(b.linear)
            weights = b.copies * linear.weight.numel() - b.linear.weight.numel()
            if b.after is not None and id(b.after) not in own:
                narrow = widths.of(b.after)
                puts.append(self.child(b.after, narrow))
                more += _count(narrow) - _count(b.after)
                weights += narrow.weight.numel() - b.after.weight.numel()
            self.grown[plan.site], self.flops[plan.site] = more, 2 * weights * (b.node.positions or 1)
        return puts

    def child(self, old: nn.Module, new: nn.Module) -> Callable[[Edits], None]:
        owner, slot = lifting.place(self.model, old)
        path = self.seen.path(old)
        return lambda edits: edits.set(path, owner._modules, slot, new)

    def row(self, plan: _Plan) -> Row:
        site, there = plan.site, plan.new if plan.new is not None else plan.f
        word, why = _effect(plan, self.seen)
        notes = [f"runs {site.count} times"] if site.count > 1 else []
        notes += plan.star.warnings if plan.star is not None else ()
        kept = [p.name for p in there.parameters]
        notes += [f"{name} is fixed in f*" for name in plan.learned if name not in kept]
        if self.options.fold and plan.star is not None:
            notes.append("signs folded")
        name = site.name or plan.f.name
        rule = self.options.rule if plan.star is not None else ""
        return Row(
            site.path, plan.layer, name, plan.form, rule, there.shown(), word, why, plan.gain, _chi(there),
            self.grown.get(site, 0), self.flops.get(site, 0), "; ".join(notes),
        )  # fmt: skip

    def remarks(self) -> tuple[str, ...]:
        if self.seen.recorded:
            return ()
        return ("In order of definition; pass example= for the order of execution.",)


def _put(site: Site, module: nn.Module) -> Callable[[Edits], None]:
    module.train(site.owner.training)
    if site.kind == "module" and isinstance(module, (layers.Opposed, layers.Moved)):
        for name in vars(module):
            if "hook" in name:  # the same dicts, so that handles remove hooks here too
                module.__dict__[name] = site.original.__dict__[name]
    return lambda edits: edits.put(site, module)


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _chi(f: ac.Activation) -> float | None:
    try:
        return float(ac.moments(_diagonal(f)).chi)
    except ActcompError:
        return None


class Rewriting:
    """What :func:`rewrite` did, and the way back. ``model``, ``rule``, ``mode``."""

    def __init__(
        self, model: nn.Module, rule: str, mode: str, explanation: Explanation, edits: Edits,
        flips: list[folding.Flip],
        blends: list[layers.Blended], steps: int | None,
    ) -> None:  # fmt: skip
        self.model, self.rule, self.mode = model, rule, mode
        self._explanation, self._edits, self._flips = explanation, edits, flips
        self._blends, self._steps, self._taken = blends, steps, 0
        self._there = True

    def explain(self) -> Explanation:
        """A row for each site: what was and is there, whether the change can matter, gain, chi, what it costs."""
        return self._explanation

    @property
    def t(self) -> float:
        """How far the blend has gone from f (0) to f* (1). Without blend: 1."""
        return 1.0 if self._steps is None else self._taken / self._steps

    def step(self) -> float:
        """One step of the blend; the new t. Raises ArgumentError without one. At t = 1 it stays."""
        if self._steps is None or not self._there:
            raise ArgumentError("there is no blend to step", do="pass blend=, the number of steps, to act.rewrite")
        self._taken = min(self._taken + 1, self._steps)
        for blended in self._blends:
            blended.set(self.t)
        return self.t

    def undo(self) -> None:
        """The very modules that were there are back, and folded signs as they were; siblings are gone.

        Raises ArgumentError, and changes nothing, where something else was put there since. A second time: nothing."""
        if self._there:
            self._edits.undo()
            folding.flip(self._flips)
            self._there = False

    def __repr__(self) -> str:
        rows = self._explanation.rows
        counts = {form: sum(row.form == form for row in rows) for form in ("f", "f*", "F", "F*")}
        told = ", ".join(f"{number} x {form}" for form, number in counts.items() if number)
        rule = "" if self.mode == "lift" else f"rule={self.rule!r}, "
        state = "" if self._there else ", undone"
        blend = f", t={self.t:g}" if self._steps is not None else ""
        return f"<Rewriting of {type(self.model).__name__}: {rule}mode={self.mode!r}, {told}{blend}{state}>"
