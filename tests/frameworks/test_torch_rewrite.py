"""act.rewrite: what stands where afterwards, what is said of it, the way back, and what is refused."""

from __future__ import annotations

import copy
import importlib
import io
import math
import pathlib
import pickle
import warnings

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import actcomp as ac  # noqa: E402
import actcomp.torch as act  # noqa: E402
from actcomp.errors import ArgumentError, NotMonotone  # noqa: E402
from actcomp.torch import description  # noqa: E402

X = torch.randn(6, 10, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """The networks are small: threads that wait for each other would take most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def chain(activation=nn.Sigmoid, hidden=4, width=16, between=()) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    size = 10
    for _ in range(hidden):
        layers += [nn.Linear(size, width), *(make(width) for make in between), activation()]
        size = width
    return nn.Sequential(*layers, nn.Linear(size, 3))


class Calls(nn.Module):
    """Activations in the text of forward, defined in another order than they run in; a residual sum."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.last = nn.Tanh()
        self.first, self.second, self.third = nn.Linear(10, 16), nn.Linear(16, 16), nn.Linear(16, 16)
        self.out = nn.Linear(16, 3)

    def forward(self, x):
        h = F.silu(self.first(x))
        h = h + F.silu(self.second(h))
        return self.out(self.last(self.third(h)))


class Convolutions(nn.Module):
    def __init__(self, pool=nn.MaxPool2d, activation=nn.SiLU) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.norm, self.act1 = nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8), activation()
        self.conv, self.act2, self.pool = nn.Conv2d(8, 8, 3), activation(), pool(2)
        self.fc1, self.act3, self.fc2 = nn.Linear(32, 16), activation(), nn.Linear(16, 3)

    def forward(self, x):
        h = self.act1(self.norm(self.stem(x)))
        h = self.pool(self.act2(self.conv(h))).flatten(1)
        return self.fc2(self.act3(self.fc1(h)))


IMAGES = torch.randn(4, 2, 6, 6, generator=torch.Generator().manual_seed(2))


def modules_of(model):
    return [(path, id(module), type(module)) for path, module in model.named_modules(remove_duplicate=False)]


# f and f* by turns ----------------------------------------------------------------------------------------------------


def test_alternates_and_goes_back():
    model = chain()
    before, y, keys = modules_of(model), model(X), list(model.state_dict())
    plan = act.rewrite(model, gains=False)
    assert [row.form for row in plan.explain()] == ["f", "f*", "f", "f*"]
    star = act.function(ac.adversary("sigmoid", rule="inverse"))
    h = X
    for k, module in enumerate(chain()):
        h = star(h) if k in (3, 7) else module(h)
    torch.testing.assert_close(model(X), h, rtol=0, atol=0)
    assert list(model.state_dict()) == keys
    plan.undo()
    plan.undo()
    assert modules_of(model) == before and torch.equal(model(X), y)
    assert "undone" in repr(plan)


def test_start_counts_the_first_and_sites_choose():
    model = chain()
    assert [row.form for row in act.rewrite(model, start=1).explain()] == ["f*", "f", "f*", "f"]
    for chosen in (["5", "1"], [0, -2], lambda site: site.path in ("1", "5")):
        plan = act.rewrite(chain(), sites=chosen)
        assert [(row.path, row.form) for row in plan.explain()] == [("1", "f"), ("5", "f*")]
    plan = act.rewrite(chain(), sites="3", start=1)
    assert [(row.path, row.form, row.layer) for row in plan.explain()] == [("3", "f*", 1)]


def test_order_is_that_of_execution():
    model = Calls()
    y = model(X)
    plan = act.rewrite(model, "inverse", example=X)
    assert [row.function for row in plan.explain()] == ["silu", "silu", "tanh"]
    assert [row.form for row in plan.explain()] == ["f", "f*", "f"]
    assert not torch.equal(model(X), y)
    plan.undo()
    assert torch.equal(model(X), y) and type(model) is Calls
    with pytest.warns(UserWarning, match="is not known") as told:
        plan = act.rewrite(Convolutions(), "reflect", start=1)
    assert len(told) == 1 and "order of definition" in str(plan.explain())
    assert {row.effect for row in plan.explain() if row.form == "f*"} == {"not known"}


def test_one_module_in_several_places():
    shared = nn.Sigmoid()
    model = nn.Sequential(nn.Linear(10, 8), shared, nn.Linear(8, 8), shared, nn.Linear(8, 8), shared)
    for example in (None, X):
        plan = act.rewrite(model, example=example)
        assert [(row.path, row.form) for row in plan.explain()] == [("1", "f"), ("3", "f*"), ("5", "f")]
        assert model[1] is shared and model[3] is not shared
        plan.undo()
        assert model[3] is shared


def test_gain_keeps_the_second_moment():
    model = chain()
    row = act.rewrite(model, "inverse").explain()[1]
    z = torch.randn(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    was, now = torch.sigmoid(z).square().mean(), model[3](z).square().mean()
    assert abs(now / was - 1) < 0.02
    moments = [ac.moments(f) for f in ("sigmoid", ac.adversary("sigmoid", rule="inverse"))]
    assert row.gain == pytest.approx(math.sqrt(moments[0].square.value / moments[1].square.value), rel=1e-12)
    assert row.chi == pytest.approx(moments[1].chi.value, rel=1e-9)
    plain = chain()
    assert act.rewrite(plain, gains=False).explain()[1].gain == 1


def test_parameters_that_are_learned_stay_learned():
    model = nn.Sequential(nn.Linear(10, 8), act.Module("softplus(b*x)/b", {"b": 2.0}), nn.Linear(8, 3))
    with torch.no_grad():
        model[1].b.fill_(0.5)
    f = ac.activation("softplus(b*x)/b", parameters={"b": 0.5})
    plan = act.rewrite(model, "reflect", start=1, allow_noop=True)
    torch.testing.assert_close(model[1](X), act.function(ac.adversary(f, rule="reflect"))(X))
    assert model[1].b.item() == 0.5 and model[1].b.requires_grad
    plan.undo()
    plan = act.rewrite(model, "reciprocal", start=1, gains=False)
    torch.testing.assert_close(model[1](X), act.function(ac.adversary(f, rule="reciprocal"))(X))
    assert not list(model[1].parameters()) and "b is fixed in f*" in plan.explain()[0].note
    plan.undo()
    channels = nn.Sequential(nn.Linear(10, 3), act.Module("x*sigmoid(b*x)", {"b": [1.0, 2.0, 3.0]}))
    with pytest.raises(ArgumentError, match="value of b for each channel"):
        act.rewrite(channels, start=1)


# what is said of it ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "example", "effects"),
    [
        (lambda: chain(nn.SiLU), None, ["no"] * 4),
        (lambda: chain(nn.SiLU), X, ["no"] * 4),
        (lambda: chain(nn.SiLU, between=(nn.LayerNorm, lambda n: nn.Dropout())), X, ["no"] * 4),
        (lambda: nn.Sequential(nn.SiLU(), nn.Linear(10, 3), nn.SiLU()), X, ["yes", "yes"]),
        (Calls, X, ["yes", "yes", "yes"]),
        (Convolutions, IMAGES, ["no", "yes", "no"]),
        (lambda: Convolutions(nn.AvgPool2d), IMAGES, ["no", "no", "no"]),
        (Convolutions, None, ["not known"] * 3),
    ],
)
def test_whether_a_change_of_sign_can_matter(model, example, effects):
    found = []
    for start in (0, 1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows = act.rewrite(model(), "reflect", start=start, example=example, allow_noop=True).explain()
        found += [(row.layer - start, row.effect, row.why) for row in rows if row.form == "f*"]
    assert [word for _, word, _ in sorted(found)] == effects
    assert all(why for _, _, why in found)


def test_reasons():
    def why(model, path, example, **options):
        rows = act.rewrite(model, "reflect", sites=path, start=1, example=example, allow_noop=True).explain()
        return rows[0].why

    model = Calls()
    assert "residual sum" in why(model, [1], X)
    assert "max-pooling follows" in why(Convolutions(), "act2", IMAGES)
    tied = chain(nn.SiLU)
    tied[4].weight = tied[2].weight
    assert "shared" in why(tied, "3", X) and "shared" in why(chain_tied(), "3", None)


def chain_tied():
    model = chain(nn.SiLU)
    model[4].weight = model[2].weight
    return model


def test_a_rule_without_effect_is_refused():
    for example in (None, X):
        model = chain(nn.ReLU)
        before = modules_of(model)
        with pytest.raises(ArgumentError, match=r"can change nothing: f\*\(x\) = -f\(-x\)[^'\"]*") as refusal:
            act.rewrite(model, "reflect", example=example)
        assert "'reciprocal', 'inverse'" in refusal.value.do and modules_of(model) == before
        act.rewrite(model, "reflect", example=example, allow_noop=True)


def test_refused_training_is_the_same_in_distribution():
    """What the refusal rests on: with changed signs at the start, losses agree through training, in float64."""
    torch.manual_seed(0)
    one = chain(nn.SiLU).double()
    two = copy.deepcopy(one)
    act.rewrite(two, "reflect", fold=True)
    data, target = torch.randn(64, 10).double(), torch.randint(3, (64,))
    losses = []
    for model in (one, two):
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
        found = []
        for _ in range(20):
            loss = F.cross_entropy(model(data), target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            found.append(loss.item())
        losses.append(found)
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


def test_explanation_prints():
    plan = act.rewrite(chain(), example=X)
    text = str(plan.explain())
    assert len(text.splitlines()) == 5 and "f* (inverse)" in text and "0.06271" in text
    assert "<table>" in plan.explain()._repr_html_()
    assert repr(plan) == "<Rewriting of Sequential: rule='inverse', mode='global', 2 x f, 2 x f*>"
    assert len(plan.explain()) == 4 and plan.explain()[1].rule == "inverse"


# siblings -------------------------------------------------------------------------------------------------------------


def test_gated_feed_forward_of_llama():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.up, self.down = (nn.Linear(10, 10, bias=False) for _ in range(3))
            self.act = act.Module("silu")

        def forward(self, x):
            return self.down(self.act(self.gate(x)) * self.up(x))

    class Squared(Gated):
        def forward(self, x):
            h = self.act(self.gate(x))
            return self.down(h * self.up(h))

    model = Gated()
    y = model(X)
    plan = act.rewrite(model, "reflect", start=1, example=X, fold=True)
    assert plan.explain()[0].effect == "no" and torch.equal(model(X), y)
    plan = act.rewrite(Squared(), "reflect", start=1, example=X)
    assert "both come from it" in plan.explain()[0].why


@pytest.mark.parametrize("activation", [nn.SiLU, nn.GELU, nn.Mish, nn.Tanh, nn.Sigmoid, nn.Softplus])
def test_lifting_changes_no_output_at_first(activation):
    model = chain(activation)
    y, before = model(X), modules_of(model)
    plan = act.rewrite(model, mode="lift")
    torch.testing.assert_close(model(X), y, rtol=2e-6, atol=2e-7)
    assert sum(p.numel() for p in model.parameters()) == sum(row.parameters for row in plan.explain()) + sum(
        p.numel() for p in chain().parameters()
    )
    model(X).sum().backward()
    first, second = model[2].linear.weight.grad, model[2].siblings[0].weight.grad
    assert not torch.equal(first, second) or activation is nn.Softplus
    plan.undo()
    assert modules_of(model) == before and torch.equal(model(X), y)


@pytest.mark.parametrize("name", ["silu", "gelu", "leaky_relu", "elu", "hardswish"])
def test_lifted_unit_on_equal_inputs_has_the_bits_of_f(name):
    model = chain(lambda: act.Module(name, learnable=False))
    y = model(X)
    act.rewrite(model, mode="lift")
    assert torch.equal(model(X), y)


def test_lifting_calls_and_convolutions():
    model = Calls()
    y = model(X)
    plan = act.rewrite(model, mode="lift", sites=[0, 1], example=X)
    torch.testing.assert_close(model(X), y, rtol=1e-5, atol=1e-6)
    assert [row.parameters for row in plan.explain()] == [16 * 11, 16 * 17]
    assert [row.flops for row in plan.explain()] == [2 * 160 * 6, 2 * 256 * 6]
    plan.undo()
    assert torch.equal(model(X), y)
    model = Convolutions().eval()
    y = model(IMAGES)
    with pytest.raises(ArgumentError, match="act1 cannot be lifted.*batch_norm"):
        act.rewrite(model, mode="lift", example=IMAGES)
    plan = act.rewrite(model, mode="lift", example=IMAGES, sites=["act2", "act3"])
    torch.testing.assert_close(model(IMAGES), y, rtol=1e-5, atol=1e-6)
    assert plan.explain()[0].flops == 2 * 8 * 8 * 9 * 4 * 16


def test_split_puts_the_split_adversary():
    model, plain = chain(nn.SiLU), chain(nn.SiLU)
    plan = act.rewrite(model, "inverse", mode="split", cut="parts", gains=False)
    assert [row.form for row in plan.explain()] == ["F", "F*", "F", "F*"]
    star = act.function(ac.adversary("silu", rule="inverse", mode="split", cut="parts"))
    h = plain[:3](X)
    torch.testing.assert_close(model[:4](X), star(h, h), rtol=1e-5, atol=1e-6)
    plan.undo()
    plan = act.rewrite(model, "inverse", mode="split", cut="parts")
    z = torch.randn(100_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gate = model[2].activation
    assert gate(z, z).square().mean() == pytest.approx(F.silu(z).square().mean().item(), rel=0.03)
    assert plan.explain()[1].gain != 1


def test_matched_width():
    model = chain(nn.SiLU, width=64)
    count = sum(p.numel() for p in model.parameters())
    before, y = modules_of(model), model(X)
    plan = act.rewrite(model, mode="lift", width="matched")
    now = sum(p.numel() for p in model.parameters())
    assert abs(now - count) < 0.03 * count and now - count == sum(row.parameters for row in plan.explain())
    widths = {model[k].linear.out_features for k in (0, 2, 4, 6)}
    assert len(widths) == 1 and widths < set(range(30, 64))
    x = torch.randn(4096, 10)
    assert 0.3 < model(x).std() / chain(nn.SiLU, width=64)(x).std() < 3
    h = model[0].linear(X)
    torch.testing.assert_close(model[0](X), F.silu(h))
    plan.undo()
    assert modules_of(model) == before and torch.equal(model(X), y)
    for wrong in (nn.Sequential(nn.Linear(10, 8), nn.SiLU()), nn.Sequential(nn.Conv1d(1, 8, 3), nn.SiLU())):
        with pytest.raises(ArgumentError, match="1 cannot be lifted: width='matched'"):
            act.rewrite(wrong, mode="lift", width="matched")


# trained models -------------------------------------------------------------------------------------------------------


def randomise(model):
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for t in [*model.parameters(), *model.buffers()]:
            if t.is_floating_point():
                t.copy_(torch.rand(t.shape, generator=generator) + (0.5 if t.dim() == 1 else -0.5))
    return model


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("rule", ["reflect", "negate"])
@pytest.mark.parametrize(
    ("model", "x"),
    [
        (lambda: chain(nn.ReLU), X),
        (lambda: chain(lambda: act.Module("silu")), X),
        (lambda: chain(lambda: act.Module("softplus")), X),
        (lambda: chain(nn.ReLU, between=(nn.LayerNorm, nn.BatchNorm1d)), X),
        (lambda: Convolutions(nn.AvgPool2d, lambda: act.Module("gelu")), IMAGES),
    ],
)
def test_folding_keeps_every_bit(model, x, rule, start):
    made = randomise(model()).eval()
    if rule == "negate" and "softplus" in str(made):  # which keeps softplus(0)
        with pytest.raises(ArgumentError, match="not f with changed signs"):
            act.rewrite(made, rule, fold=True, start=start)
        return
    y, state = made(x), copy.deepcopy(made.state_dict())
    plan = act.rewrite(made, rule, fold=True, start=start, example=x)
    assert torch.equal(made(x), y)
    assert any(not torch.equal(a, b) for a, b in zip(state.values(), made.state_dict().values(), strict=False))
    assert "signs folded" in str(plan.explain())
    made.double().float()
    plan.undo()
    assert all(torch.equal(value, state[key]) for key, value in made.state_dict().items())
    assert torch.equal(made(x), y)


@pytest.mark.parametrize(
    ("model", "options", "why"),
    [
        (lambda: chain(), {"rule": "inverse"}, r"3: f\* is not f with changed signs"),
        (Calls, {"rule": "reflect", "example": X}, "residual sum"),
        (Convolutions, {"rule": "reflect", "example": IMAGES}, "max-pooling"),
        (Calls, {"rule": "reflect"}, "not seen"),
    ],
)
def test_folding_refused(model, options, why):
    made = model()
    state, before = copy.deepcopy(made.state_dict()), modules_of(made)
    with pytest.raises(ArgumentError, match=why) as refusal:
        act.rewrite(made, fold=True, **options)
    assert "blend" in refusal.value.do and modules_of(made) == before
    assert all(torch.equal(value, state[key]) for key, value in made.state_dict().items())


def test_blending():
    model = chain()
    y = model(X)
    plan = act.rewrite(model, blend=4)
    assert plan.t == 0 and torch.equal(model(X), y)
    target = chain()
    act.rewrite(target)
    distances = [(model(X) - target(X)).abs().max().item()]
    for k in range(1, 6):
        assert plan.step() == min(1, k / 4)
        distances.append((model(X) - target(X)).abs().max().item())
    assert torch.equal(model(X), target(X)) and distances == sorted(distances, reverse=True)
    h = model[:3](X)
    plan._taken = 0
    plan.step()
    torch.testing.assert_close(model[3](h), 0.75 * torch.sigmoid(h) + 0.25 * target[3](h))
    again = chain()
    act.rewrite(again, blend=4)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(X), model(X)) and "t=0.25" in repr(again)
    plan.undo()
    assert torch.equal(model(X), y)
    with pytest.raises(ArgumentError, match="no blend"):
        plan.step()


def test_blending_gates_and_calls():
    model = Calls()
    y = model(X)
    plan = act.rewrite(model, blend=2, example=X, mode="global")
    torch.testing.assert_close(model(X), y)
    plan.step()
    model(X).sum().backward()
    plan.undo()
    model = chain(nn.SiLU)
    y = model(X)
    plan = act.rewrite(model, "inverse", mode="split", cut="parts", blend=2)
    torch.testing.assert_close(model(X), y, rtol=1e-5, atol=1e-6)
    plan.step()
    assert not torch.allclose(model(X), y)


# files, copies, compilers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{}, {"mode": "lift"}, {"mode": "split"}, {"blend": 3}, {"mode": "lift", "width": "matched"}]
)
def test_state_dict_copies_and_pickle(options):
    model = chain()
    plan = act.rewrite(model, **options)
    if "blend" in options:
        plan.step()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    y = model(X)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    fresh = chain()
    act.rewrite(fresh, **options)
    fresh.load_state_dict(torch.load(file))
    for other in (fresh, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(X), y)
        with pytest.raises(ArgumentError, match="rewritten already"):
            act.rewrite(other)


def test_compiles_in_one_graph_and_trains():
    model = chain()
    act.rewrite(model, mode="split")
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(X), model(X))
    x = X.double().requires_grad_()
    assert torch.autograd.gradcheck(model.double(), (x,))


def test_hooks_and_flags_stay():
    model = chain().eval()
    seen = []
    handle = model[3].register_forward_hook(lambda *_: seen.append(1))
    act.rewrite(model)
    model(X)
    assert seen == [1] and not any(module.training for module in model.modules())
    handle.remove()
    model(X)
    assert seen == [1]


def test_example_leaves_no_trace():
    model = Convolutions().train()
    state, random = copy.deepcopy(model.state_dict()), torch.random.get_rng_state()
    act.rewrite(model, "inverse", example=IMAGES).undo()
    assert torch.equal(torch.random.get_rng_state(), random)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert not model._forward_hooks and not model.act1._forward_hooks


def test_an_example_that_fails_changes_nothing():
    model = Calls()
    before = modules_of(model)
    with pytest.raises(RuntimeError):
        act.rewrite(model, example=torch.randn(2, 3))
    assert modules_of(model) == before and vars(model).keys() == vars(Calls()).keys()


def test_models_of_transformers():
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    bert = transformers.BertModel(transformers.BertConfig(vocab_size=50, **sizes)).eval()
    example = {"input_ids": torch.arange(12).reshape(2, 6)}
    y = bert(**example).last_hidden_state
    plan = act.rewrite(bert, mode="lift", example=example)
    assert len(plan.explain()) == 3
    torch.testing.assert_close(bert(**example).last_hidden_state, y, rtol=1e-5, atol=1e-5)
    plan.undo()
    rows = act.rewrite(bert, "reflect", example=example, sites=[0, 1], start=1, allow_noop=True).explain()
    assert rows[0].effect == "no" and rows[0].function == "gelu"


# what is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "why", "fix"),
    [
        ({"rule": "invers"}, "no rule 'invers'", "reflect"),
        ({"mode": "both"}, "no mode 'both'", "global, split, lift"),
        ({"width": "half", "mode": "lift"}, "no width", "same, matched"),
        ({"width": "matched"}, "belong to lifted", "lift"),
        ({"cut": "parts"}, "belong to lifted", "lift"),
        ({"start": -1}, "start is -1", "0 begins"),
        ({"start": True}, "start is True", "0 begins"),
        ({"sites": "33"}, "no activation '33'", "did you mean '3'"),
        ({"sites": [9]}, "no activation 9", "there are 4: 1, 3, 5, 7"),
        ({"sites": []}, "chooses no activation", "there are 4"),
        ({"sites": lambda site: False}, "chooses no activation", "there are 4"),
        ({"sites": "3"}, "nothing would change", "start=1"),
        ({"blend": 0}, "blend is 0", "number of steps"),
        ({"blend": 5, "mode": "lift"}, "nothing to blend", "leave blend"),
        ({"blend": 5, "fold": True}, "nothing to blend", "leave blend"),
        ({"fold": True, "mode": "split"}, "signs are folded", "global"),
        ({"eps": -1.0}, "eps is -1", "positive"),
        ({"cut": "thirds", "mode": "lift"}, "1: unknown cut", "product"),
    ],
)
def test_wrong_options(options, why, fix):
    model = chain()
    before = modules_of(model)
    with pytest.raises(ArgumentError, match=why) as refusal:
        act.rewrite(model, **options)
    assert fix in refusal.value.do and modules_of(model) == before


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (lambda: nn.Sequential(nn.Linear(3, 3)), "no activation"),
        (lambda: torch.jit.script(chain()), "scripted"),
        (lambda: torch.compile(chain()), "compiled"),
        (lambda: nn.Sigmoid(), "itself an activation"),
        (lambda: "chain", "the model is a str"),
        (lambda: nn.Sequential(nn.Linear(10, 3), nn.Softplus(threshold=1), nn.Linear(3, 3), nn.ReLU()), "no formula"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_wrong_models(model, why):
    with pytest.raises(ArgumentError, match=why):
        act.rewrite(model())


def test_a_rule_that_does_not_fit_names_the_site():
    model = chain(nn.SiLU)
    before = modules_of(model)
    with pytest.raises(NotMonotone, match="^3: .*takes both signs"):
        act.rewrite(model, "reciprocal")
    assert modules_of(model) == before


def test_lifting_refuses_what_shares_its_linear_layer():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.act, self.b = nn.Linear(10, 10), nn.SiLU(), nn.Linear(10, 3)

        def forward(self, x):
            h = self.a(x)
            return self.b(self.act(h) + h)

    class Again(Twice):
        def forward(self, x):
            return self.b(self.act(self.a(self.act(self.a(x)))))

    with pytest.raises(ArgumentError, match="act cannot be lifted: a before it serves others too"):
        act.rewrite(Twice(), mode="lift", example=X)
    with pytest.raises(ArgumentError, match="it runs 2 times"):
        act.rewrite(Again(), mode="lift", example=X)
    with pytest.raises(ArgumentError, match="act cannot be lifted: no nn.Linear.*") as refusal:
        act.rewrite(Twice(), mode="lift")
    assert "example=" in refusal.value.do


def test_undo_after_another_change():
    model = chain()
    plan = act.rewrite(model)
    model[3] = nn.ReLU()
    with pytest.raises(ArgumentError, match="3 has been changed since"):
        plan.undo()


def test_the_example_learns(monkeypatch):
    pytest.importorskip("sklearn", reason="scikit-learn, which has the digits, is not installed")
    folder = pathlib.Path(__file__).parents[2] / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    example = importlib.import_module("deep_sigmoid")
    data = example.digits()
    plain, rewritten = (example.train(data, rule, 3e-3, seed=1)["curve"][-1] for rule in (None, "inverse"))
    assert rewritten > 0.9 and rewritten > plain + 0.1


def test_a_scaled_adversary_is_known_in_other_processes():
    model = chain(nn.SiLU)
    act.rewrite(model)
    function = model[3].function
    assert "digest" not in function.key and '"rule": "inverse"' in function.key
    assert description.activation_of(function.key) == function.activation
