"""act.replace: every kind of site, settings kept, undo, and what is refused before anything changes."""

from __future__ import annotations

import copy
import functools
import importlib.util
import math
import pickle
import types
from unittest import mock

import pytest

torch = pytest.importorskip("torch", reason="the adapter for PyTorch needs it")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch.nn.functional import silu as imported_silu  # noqa: E402

import actcomp.torch as act  # noqa: E402
from actcomp.errors import ActcompError, ArgumentError  # noqa: E402
from actcomp.torch import known, sites  # noqa: E402

EPS = torch.finfo(torch.float32).eps


class Block(nn.Module):
    """Every way to call an activation, and what a traced graph would freeze: training, options, gradient modes."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)
        self.norm = nn.BatchNorm1d(6)
        self.relu = nn.ReLU(inplace=True)
        self.act_fn = F.gelu
        self.partial = functools.partial(F.gelu, approximate="tanh")

    def forward(self, x, mask=None, *, scale=1.0):
        x = F.silu(self.norm(self.linear(x))) + torch.tanh(x).sigmoid()
        if mask is not None:
            x = x * mask
        x = F.dropout(self.tail(x), 0.5, self.training)
        with torch.no_grad():
            shift = torch.nn.functional.mish(input=x)
        return self.relu(self.act_fn(x) + self.partial(x)) * scale + shift

    def tail(self, x):
        return F.leaky_relu(imported_silu(x), negative_slope=0.2) + nn.functional.softplus(x, 1, 20)

    def never_called(self, x):
        return torch.relu(x)


def model_of_blocks() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(Block(), nn.ModuleDict({"a": nn.SiLU()})["a"], nn.Sequential(Block(), nn.GELU("tanh")))


def rows_of(table) -> list[tuple[str, str | None]]:
    return [(row.site.path.partition(":")[0], row.site.name) for row in table.rows]


def test_every_kind_of_site_by_default():
    model = model_of_blocks()
    x, mask = torch.randn(5, 6), torch.rand(5, 6)
    before, keys = list(model.parameters()), list(model.state_dict())
    results = {}
    for training in (True, False):
        torch.manual_seed(1)
        results[training] = copy.deepcopy(model).train(training)(x)
    original = [type(m) for m in model.modules()]
    table = act.replace(model)
    block = [
        ("act_fn", "gelu"), ("partial", "gelu_tanh"), ("forward", "silu"), ("forward", "tanh"), ("forward", "sigmoid"),
        ("forward", "mish"), ("tail", "silu"), ("tail", "leaky_relu"), ("tail", "softplus"), ("relu", "relu"),
    ]  # fmt: skip
    assert rows_of(table) == [
        *((f"0.{path}", name) for path, name in block),
        ("1", "silu"),
        *((f"2.0.{path}", name) for path, name in block),
        ("2.1", "gelu_tanh"),
    ]
    assert len(table) == 22 and not table.left and not table.unseen
    assert all(one is other for one, other in zip(model.parameters(), before, strict=True))
    assert list(model.state_dict()) == keys
    assert isinstance(model[0], Block) and isinstance(model[0].act_fn, act.ActivationFunction)
    for training in (True, False):
        torch.manual_seed(1)
        y = copy.deepcopy(model).train(training)(x)
        torch.testing.assert_close(y, results[training], rtol=64 * EPS, atol=64 * EPS)
    # optional arguments are what the call says, as ever
    model.eval()
    masked = model[0](x, mask, scale=2.0)
    table.undo()
    torch.testing.assert_close(masked, model[0](x, mask, scale=2.0), rtol=64 * EPS, atol=64 * EPS)
    assert [type(m) for m in model.modules()] == original
    assert torch.equal(model(x), results[False]) and vars(model[0])["act_fn"] is F.gelu
    assert not [name for m in model.modules() for name in (*vars(m), *m._modules) if name.startswith("_actcomp")]
    table.undo()


def test_copies_pickle_and_compile():
    model, x = model_of_blocks().eval(), torch.randn(5, 6)
    table = act.replace(model)
    y = model(x)
    twin = pickle.loads(pickle.dumps(model))
    assert type(twin[0]) is type(model[0]) is type(copy.deepcopy(model)[0])
    table.undo()
    assert torch.equal(twin(x), y) and torch.equal(copy.deepcopy(twin)(x), y)
    compiled = torch.compile(twin, fullgraph=True)
    torch.testing.assert_close(compiled(x), y, rtol=64 * EPS, atol=64 * EPS)
    table = act.replace(model, {"0.relu": "tanh"})
    assert "Elementwise" in repr(model[0].relu) and [row.site.path for row in table.rows] == ["0.relu"]


CASES = [
    nn.ReLU(inplace=True), nn.ReLU6(), nn.LeakyReLU(0.2), nn.ELU(0.7), nn.SELU(), nn.CELU(0.7), nn.CELU(), nn.GELU(),
    nn.GELU("tanh"), nn.SiLU(), nn.Mish(), nn.Softplus(), nn.Softplus(2.0, 30.0), nn.Tanh(), nn.Sigmoid(),
    nn.LogSigmoid(), nn.Hardswish(), nn.Hardsigmoid(), nn.Hardtanh(), nn.Hardtanh(-2.0, 0.5), nn.Tanhshrink(),
    nn.Softsign(), nn.Hardshrink(0.7), nn.Softshrink(0.3), nn.Threshold(0.1, -2.0),
]  # fmt: skip


@pytest.mark.parametrize("module", CASES, ids=repr)
def test_settings_are_kept(module):
    """Value and slope on a grid with the kinks, in float64, beside torch's own."""
    x = torch.cat([torch.linspace(-8, 8, 257), torch.tensor([-3.0, 3, 6, -1, 1, 0.5, -0.0, 0.7, 0.3])]).double()
    x, z = x.requires_grad_(), x.clone().requires_grad_()
    model = nn.Sequential(module)
    table = act.replace(model)
    assert len(table) == 1 and isinstance(model[0], nn.Module) and model[0] is not module
    y, want = model(x), copy.deepcopy(module)(z * 1)
    # torch holds celu's 1/alpha and hardsigmoid's 1/6 in float32
    loose = 1e-6 if isinstance(module, (nn.CELU, nn.Hardsigmoid)) else 4e-15
    torch.testing.assert_close(y, want, rtol=loose, atol=1e-15)
    (dx,), (dz,) = torch.autograd.grad(y.sum(), x), torch.autograd.grad(want.sum(), z)
    torch.testing.assert_close(dx, dz, rtol=10 * loose, atol=1e-14)
    table.undo()
    assert model[0] is module


def test_every_known_module_is_a_case():
    assert {type(one) for one in CASES} == set(known.MODULES)


def test_what_no_formula_gives_is_left():
    model = nn.Sequential(nn.Softplus(1.0, 5.0), nn.ReLU())
    table = act.replace(model)
    assert [site.path for site in table.left] == ["0"] and type(model[0]) is nn.Softplus
    assert "left as they were\n  0  Softplus" in repr(table)
    with pytest.raises(ArgumentError, match="no formula is known for 0"):
        act.replace(model, {nn.Softplus: None})
    assert len(act.replace(model, {nn.Softplus: "softplus"})) == 1


def test_keys():
    model = model_of_blocks()
    assert rows_of(act.replace(model, {F.silu: "mish"})) == [
        ("0.forward", "silu"), ("0.tail", "silu"), ("2.0.forward", "silu"), ("2.0.tail", "silu"),
    ]  # fmt: skip
    model = model_of_blocks()
    assert rows_of(act.replace(model, {nn.SiLU: "silu"})) == [("1", "silu")]
    model = model_of_blocks()
    assert rows_of(act.replace(model, {F.gelu: "gelu", torch.sigmoid: "tanh"})) == [
        ("0.act_fn", "gelu"), ("0.partial", "gelu_tanh"), ("0.forward", "sigmoid"), ("2.0.act_fn", "gelu"),
        ("2.0.partial", "gelu_tanh"), ("2.0.forward", "sigmoid"),
    ]  # fmt: skip
    model = model_of_blocks()
    table = act.replace(model, {nn.SiLU: "tanh", "silu": "mish", "1": "relu"})
    assert {row.site.path.partition(":")[0]: act.sites.site_of("", model, "", row.now).name for row in table.rows} == {
        "0.forward": "mish", "0.tail": "mish", "1": "relu", "2.0.forward": "mish", "2.0.tail": "mish",
    }  # fmt: skip


def test_a_class_of_the_users():
    class Own(nn.Module):
        def forward(self, x):
            return x * torch.rand_like(x)

    model = nn.Sequential(Own(), nn.ReLU())
    act.replace(model, {Own: "tanh"})
    x = torch.randn(3)
    assert torch.equal(model(x), F.relu(act.function("tanh")(x)))


def test_two_calls_of_one_line_have_places_of_their_own():
    model = Block()
    first, second = (site.path for site in sites.find(model) if site.name in ("tanh", "sigmoid"))
    assert first != second
    table = act.replace(model, {second: "tanh"})
    later = act.replace(model, {first: "sigmoid"})
    assert len(table) == len(later) == 1
    with pytest.raises(ArgumentError, match="changed since"):
        table.undo()
    later.undo()
    table.undo()
    assert type(model) is Block


def test_a_module_in_many_places_stays_one():
    relu = nn.ReLU()
    model = nn.Sequential(relu, nn.Linear(3, 3), relu, nn.ModuleList([relu]))
    table = act.replace(model)
    assert len(table) == 3 and model[0] is model[2] is model[3][0]
    table.undo()
    assert model[0] is model[2] is model[3][0] is relu


def test_hooks_and_training_flags_stay():
    model, seen = nn.Sequential(nn.Linear(3, 3), nn.SiLU()).eval(), []
    handle = model[1].register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    model[1].register_full_backward_hook(lambda *_: seen.append("back"))
    old = model[1]
    for value in ("silu", act.Module("swish")):
        table = act.replace(model, {nn.SiLU: value})
        assert not model[1].training
        seen.clear()
        model(torch.randn(2, 3)).sum().backward()
        assert seen == [(2, 3), "back"]
        table.undo()
    assert not value._forward_hooks and model[1] is old
    act.replace(model)
    handle.remove()
    model(torch.randn(2, 3))
    assert not model[1]._forward_hooks


def test_a_module_learns_in_all_its_places():
    model, swish = model_of_blocks(), act.Module("swish", parameters={"beta": 2.0})
    table = act.replace(model, {"silu": swish})
    assert len(table) == 5 and model[1] is swish
    assert {id(p) for p in swish.parameters()} < {id(p) for p in model.parameters()}
    model(torch.randn(4, 6)).sum().backward()
    assert swish.beta.grad is not None
    table.undo()
    assert len(list(model.parameters())) == len(list(model_of_blocks().parameters()))


def test_a_traced_graph():
    model = torch.fx.symbolic_trace(Block().eval(), {"mask": None})
    x = torch.randn(4, 6)
    want, code = model(x), model.code
    table = act.replace(model)
    assert {row.site.kind for row in table.rows} == {"call", "module"} and "torch.nn.functional.silu" not in model.code
    torch.testing.assert_close(model(x), want, rtol=64 * EPS, atol=64 * EPS)
    assert torch.equal(copy.deepcopy(model)(x), model(x))
    table.undo()
    assert model.code == code and torch.equal(model(x), want)


def test_the_encoder_layer_of_torch_does_not_pass_by():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, activation="relu", batch_first=True)
    x = torch.randn(2, 3, 8)
    with torch.no_grad():
        before = layer.eval()(x)
        table = act.replace(layer, {F.relu: "silu"})
        evaluated, trained = layer.eval()(x), layer.train()(x)
        torch.testing.assert_close(evaluated, trained)
        assert not torch.allclose(evaluated, before)
        table.undo()
        assert torch.equal(layer.eval()(x), before)


def helper(x):
    return F.silu(x)


class Hidden(nn.Module):
    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU()
        self.lstm = nn.LSTM(3, 3)
        self.slope = 0.1

    def forward(self, *xs):
        import torch.nn.functional as inner

        x = self.relu(xs[0])
        torch.relu_(x)
        F.elu(x, inplace=True)
        x = x + torch.tanh(x, out=xs[1])
        return helper(x) + inner.mish(x) + nn.SiLU()(x) + F.hardtanh(*xs) + F.leaky_relu(x, self.slope)


def test_what_could_not_be_seen_is_told():
    model = Hidden()
    table = act.replace(model)
    assert rows_of(table) == [("relu", "relu")]
    told = "\n".join(table.unseen)
    for words in (
        "the function helper may call silu", "inner.mish has a name of the function's own",
        "nn.SiLU() is made anew", "F.hardtanh(*xs)", "torch.tanh(x, out=xs[1])", "lstm: the gates are inside",
    ):  # fmt: skip
        assert words in told
    assert [site.label for site in table.left] == ["F.leaky_relu(x, self.slope)"]
    assert told.splitlines()[0] in repr(table)
    table.undo()
    assert rows_of(act.replace(model, {F.leaky_relu: "leaky_relu"})) == [("forward", None)]


class Wraps(nn.Module):
    def forward(self, x):
        return helper(x)


def test_functions_are_not_looked_into():
    table = act.replace(nn.Sequential(Wraps(), nn.ReLU()))
    assert table.unseen == ("0: Wraps.forward: the function helper may call silu; only methods are looked into",)
    with pytest.raises(ArgumentError, match="Wraps.forward: the function helper may call silu"):
        act.replace(Wraps())


class Hides(nn.Module):
    def __init__(self):
        super().__init__()
        self.several = [nn.ReLU(), F.silu]

    @staticmethod
    def still(x):
        return F.silu(x)

    @property
    def gate(self):
        return torch.sigmoid(torch.ones(1))

    def forward(self, x, last=F.gelu):
        return last(self.several[0](self.still(x)) * self.gate)


def test_methods_behind_attributes_of_the_instance_are_told():
    """As other libraries wrap a module's forward: the class's is no longer what runs."""
    model = nn.Sequential(Straight(), nn.ReLU())
    model[0].forward = functools.partial(Straight.forward, model[0])
    table = act.replace(model)
    told = "hidden by the module's own attribute 'forward'"
    assert len(table) == 1 and table.unseen == (f"0: Straight.forward (F.silu(x)): {told}",)


class Straight(nn.Module):
    def forward(self, x):
        return F.silu(x)


def test_what_lists_properties_and_defaults_hide_is_told():
    table = act.replace(nn.Sequential(Hides(), nn.ReLU()))
    assert len(table) == 1 and table.unseen == (
        "0: Hides.still (may call silu): a staticmethod, which is not looked into",
        "0: Hides.gate (may call sigmoid): a property, which is not looked into",
        "0: Hides.forward: gelu is the default of an argument",
        "0: several has ReLU in a list, which is not looked into",
        "0: several has silu in a list, which is not looked into",
    )


def test_without_source_text():
    scope = {"nn": nn, "F": F}
    exec("class Sourceless(nn.Module):\n    def forward(self, x): return F.silu(x)", scope)
    table = act.replace(nn.Sequential(scope["Sourceless"](), nn.ReLU()))
    assert len(table) == 1 and "source text is not there" in table.unseen[0]


class Decorated(nn.Module):
    @torch.no_grad()
    def forward(self, x):
        return F.silu(x)


def test_decorators_and_super_stay():
    class Below(Block):
        def forward(self, x):
            return super().forward(x) + torch.relu(x)

    model, x = Below().eval(), torch.randn(3, 6)
    want = model(x)
    table = act.replace(model)
    assert len(table) == 7 and "Block.forward: behind super()" in table.unseen[0]
    torch.testing.assert_close(model(x), want, rtol=64 * EPS, atol=64 * EPS)
    decorated = Decorated()
    assert len(act.replace(decorated)) == 1
    assert not decorated(torch.ones(2, requires_grad=True)).requires_grad


def test_sites_in_order_of_execution():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first, self.unused = nn.Tanh(), nn.SiLU(), nn.ReLU()
            self.norm = nn.BatchNorm1d(6)

        def forward(self, x):
            x = self.first(self.first(self.norm(x)))
            return self.last(F.dropout(F.mish(x), 0.5, self.training))

    model, x = nn.Sequential(Backwards(), Block()), torch.randn(4, 6)
    state, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    found = sites.find(model, (x,))
    assert [(site.name, site.count) for site in found] == [
        ("silu", 2), ("mish", 1), ("tanh", 1), ("silu", 1), ("tanh", 1), ("sigmoid", 1), ("silu", 1),
        ("leaky_relu", 1), ("softplus", 1), ("mish", 1), ("gelu", 1), ("gelu_tanh", 1), ("relu", 1),
    ]  # fmt: skip
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random) and type(model[1]) is Block
    table = act.replace(model)
    assert [site.count for site in sites.find(model, {"input": x})] == [site.count for site in found]
    assert all(isinstance(site.function(), act.ActivationFunction) for site in sites.find(model))
    with pytest.raises(ArgumentError, match="no activation to replace"):
        act.replace(model)
    table.undo()


BAD = [
    ({"slu": "silu"}, "did you mean 'silu'"),
    ({"silu": "silu", "1.linear": "silu"}, "'1.linear' is no activation's name"),
    ({nn.Linear: "silu"}, "nn.Linear is no elementwise"),
    ({int: "silu"}, "int is no class of modules"),
    ({3: "silu"}, "3 says no activation"),
    ({"silu": "a*b"}, "has the inputs a, b"),
    ({"silu": "slu"}, "did you mean 'silu'"),
    ({nn.SiLU: "silu", nn.GELU: "x*"}, "x"),
    ({nn.Tanhshrink: "silu"}, "names take every spelling: 'gelu'"),
    ({}, "fits the mapping"),
    ("silu", "the mapping is a str"),
]


@pytest.mark.parametrize(("mapping", "words"), BAD, ids=[str(index) for index in range(len(BAD))])
def test_refused_before_anything_changes(mapping, words):
    model = model_of_blocks()
    before = [(type(m), list(vars(m).items()), list(m._modules.items())) for m in model.modules()]
    with pytest.raises(Exception, match=words) as fault:
        act.replace(model, mapping)
    assert isinstance(fault.value, ActcompError)
    assert before == [(type(m), list(vars(m).items()), list(m._modules.items())) for m in model.modules()]


def test_settings_that_a_model_reads_stay():
    model = nn.Sequential(nn.LeakyReLU(0.3, inplace=True), nn.GELU("tanh"))
    act.replace(model)
    assert model[0].inplace is True and model[0].negative_slope == 0.3 and model[1].approximate == "tanh"
    assert not model.state_dict()


def test_models_that_are_refused():
    model = nn.Sequential(nn.SiLU())
    with pytest.raises(ArgumentError, match="_orig_mod"):
        act.replace(torch.compile(model))
    compiled = nn.Sequential(nn.SiLU())
    compiled.compile()
    with pytest.raises(ArgumentError, match="compiled: its code is fixed"):
        act.replace(compiled)
    with pytest.raises(ArgumentError, match="0 is scripted"):
        act.replace(nn.Sequential(torch.jit.trace(nn.SiLU(), torch.ones(2))))
    with pytest.raises(ArgumentError, match="itself an activation"):
        act.replace(nn.SiLU())
    with pytest.raises(ArgumentError, match="torch.nn.Module"):
        act.replace(F.silu)
    with pytest.raises(ArgumentError, match="no activation to replace"):
        act.replace(nn.Linear(2, 2))


def test_a_module_with_parameters_is_not_dropped():
    class Learned(nn.Module):
        def __init__(self):
            super().__init__()
            self.slope = nn.Parameter(torch.ones(()))

    with pytest.raises(ArgumentError, match="would be lost"):
        act.replace(nn.Sequential(nn.ReLU(), Learned()), {nn.ReLU: "silu", Learned: "silu"})


def test_a_failure_half_way_changes_nothing():
    class Strict(nn.Module):
        def __init_subclass__(cls):
            raise TypeError("no subclasses")

        def forward(self, x):
            return F.silu(x)

    relu = nn.ReLU()
    model = nn.Sequential(relu, Strict())
    with pytest.raises(TypeError, match="no subclasses"):
        act.replace(model)
    assert model[0] is relu and not [name for name in vars(model[1]) if name.startswith("_actcomp")]


# transformers

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
MODELS = {
    "bert": ("Bert", {"vocab_size": 50, "max_position_embeddings": 16, **SMALL, **NO_DROPOUT}, 3),
    "vit": ("ViT", {"image_size": 32, "patch_size": 8, **SMALL, **NO_DROPOUT}, 3),
    "swin": (
        "Swin",
        {"image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4,
         "drop_path_rate": 0.0}, 2,
    ),
    "resnet": ("ResNet", {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}, 5),
    "llama": ("Llama", {"vocab_size": 50, "num_key_value_heads": 2, "max_position_embeddings": 32, **SMALL}, 2),
}  # fmt: skip


@pytest.fixture(scope="module")
def transformers():
    """The library; a torchvision whose operators torch cannot load must not stop it, since no model here needs it."""
    find_spec = importlib.util.find_spec

    def found(name, *package):
        return None if name == "torchvision" else find_spec(name, *package)

    with mock.patch.object(importlib.util, "find_spec", found):
        transformers = pytest.importorskip("transformers", reason="models to replace activations in")
        names = [f"{family}{part}" for family, _, _ in MODELS.values() for part in ("Config", "Model")]
        yield types.SimpleNamespace(**{name: getattr(transformers, name) for name in names})


def run(model, inputs, dtype) -> list[torch.Tensor]:
    """The output and every parameter's gradient, in float64."""
    inputs = {name: x.to(dtype) if x.is_floating_point() else x for name, x in inputs.items()}
    model.zero_grad()
    y = model(**inputs).last_hidden_state
    (y * torch.linspace(-1, 1, y.numel(), dtype=dtype).view(y.shape)).sum().backward()
    return [y.detach().double(), *(p.grad.double() for p in model.parameters() if p.grad is not None)]


@pytest.mark.parametrize("name", MODELS)
def test_models_of_transformers(transformers, name):
    """Against the model in float64: the error with ours is at most twice torch's own, and one unit of the largest."""
    family, settings, count = MODELS[name]
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**settings)
    model = getattr(transformers, f"{family}Model")(config).train()
    tokens = name in ("bert", "llama")
    inputs = {"input_ids": torch.randint(0, 50, (2, 8))} if tokens else {"pixel_values": torch.randn(2, 3, 32, 32)}
    exact = run(copy.deepcopy(model).double(), inputs, torch.float64)
    state = copy.deepcopy(model.state_dict())
    own = run(model, inputs, torch.float32)
    model.load_state_dict(state)
    table = act.replace(model)
    assert len(table) == count and not table.left and not table.unseen
    assert list(model.state_dict()) == list(state)
    ours = run(model, inputs, torch.float32)
    scale = max(float(one.abs().max()) for one in exact[1:])
    for index, (want, one, other) in enumerate(zip(exact, own, ours, strict=True)):
        unit = EPS * max(float(want.abs().max()), 0.0 if index == 0 else EPS**0.5 * scale)
        allowed = 2 * float((one - want).abs().max()) + math.sqrt(want.numel()) * unit
        assert float((other - want).abs().max()) <= allowed
    table.undo()
    model.load_state_dict(state)
    assert all(torch.equal(one, other) for one, other in zip(own, run(model, inputs, torch.float32), strict=True))
