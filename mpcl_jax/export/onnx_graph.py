"""A function of JAX as an ONNX graph: the operations that the models of this package consist of, and no others.

General converters need versions of other packages that this one does not run with (jax2onnx 0.17 needs an older
Orbax), so the few operations are translated here. What depends on no input is computed once and kept as a constant.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import onnx
from jax import export
from jax.extend.core import Literal
from onnx import TensorProto, helper, numpy_helper

from mpcl_jax.train.devices import compiled
from mpcl_jax.types import DataError

OPSET, IR = 18, 10  # of ONNX 1.14 (2023) and later
ROWS = "rows"  # name of the first axis, the windows of a call
# Operations of JAX that ONNX has under another name, with the same arguments.
SAME = {
    "abs": "Abs", "add": "Add", "and": "And", "div": "Div", "eq": "Equal", "erf": "Erf", "exp": "Exp",
    "ge": "GreaterOrEqual", "gt": "Greater", "le": "LessOrEqual", "log": "Log", "logistic": "Sigmoid", "lt": "Less",
    "max": "Max", "min": "Min", "mul": "Mul", "neg": "Neg", "not": "Not", "or": "Or", "sqrt": "Sqrt", "sub": "Sub",
    "tanh": "Tanh",
}  # fmt: skip
REDUCED = {"reduce_sum": "ReduceSum", "reduce_max": "ReduceMax"}


def onnx_model(
    function: Callable, shapes: dict[str, tuple[int, ...]], output: tuple[str, int]
) -> onnx.ModelProto:
    """The graph of `function`, m -> [B, *shape] float32 to [B, C] float32, for any number of windows B.

    `output`: name of the result and C. It has to be called with `jax.enable_x64(True)`.
    Raises DataError naming an operation that has no translation.
    """
    (rows,) = export.symbolic_shape(ROWS)
    inputs = {m: jax.ShapeDtypeStruct((rows, *shape), np.float32) for m, shape in shapes.items()}
    traced = jax.jit(function).trace(inputs).jaxpr
    graph = _Graph(next(iter(shapes)))

    def constants() -> dict[str, Any]:
        (found,) = graph.inline(traced.jaxpr, traced.consts, sorted(shapes))  # JAX sorts the keys of a dict
        graph.nodes.append(helper.make_node("Identity", [graph.name_of(found)], [output[0]]))
        return graph.constants

    held = compiled(constants, once=True)()  # makes the nodes, and computes all constants in one program
    made = helper.make_graph(
        graph.nodes,
        "mpcl",
        [helper.make_tensor_value_info(m, TensorProto.FLOAT, [ROWS, *shapes[m]]) for m in shapes],
        [helper.make_tensor_value_info(output[0], TensorProto.FLOAT, [ROWS, output[1]])],
        [numpy_helper.from_array(np.asarray(x), name) for name, x in held.items()],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=IR, producer_name="mpcl_jax")
    onnx.checker.check_model(model)
    return model


def with_header(model: onnx.ModelProto, about: dict[str, Any]) -> bytes:
    """The content of a file with `model` and `about`, as JSON in its metadata."""
    held = onnx.ModelProto()
    held.CopyFrom(model)
    helper.set_model_props(held, {"about": json.dumps(about)})
    return held.SerializeToString()


class _Graph:
    """Nodes and constants; a value is the name (str) of a tensor, or an array that depends on no input."""

    def __init__(self, first: str):
        self.nodes, self.constants, self.first = [], {}, first

    def name_of(self, value: Any) -> str:
        """The name of a value; an array becomes a constant of the graph."""
        if isinstance(value, str):
            return value
        name = f"constant{len(self.constants)}"
        self.constants[name] = value
        return name

    def add(self, kind: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """The result of a new node, or several."""
        number = len(self.nodes)
        names = [f"{kind}{number}" if outputs == 1 else f"{kind}{number}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, [*map(self.name_of, inputs)], names, **attributes))
        return names[0] if outputs == 1 else names

    def inline(self, jaxpr: Any, constants: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
        """The results of `jaxpr` for `inputs`."""
        held = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *inputs], strict=True))

        def value(x: Any) -> Any:
            return np.asarray(x.val, x.aval.dtype) if isinstance(x, Literal) else held[x]

        for equation in _used(jaxpr):
            results = self._results(equation, [value(x) for x in equation.invars])
            held |= dict(zip(equation.outvars, results, strict=True))
        return [value(x) for x in jaxpr.outvars]

    def _results(self, equation: Any, inputs: list[Any]) -> list[Any]:
        inner = equation.params.get("jaxpr") or equation.params.get("call_jaxpr")
        if inner is not None:
            # The one of `jax.checkpoint` has no constants.
            return self.inline(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), inputs)
        shapes = [x.aval.shape for x in equation.outvars]
        if not any(isinstance(x, str) for x in inputs) and not _symbolic(*(d for s in shapes for d in s)):
            found = equation.primitive.bind(*inputs, **equation.params)
            return list(found if equation.primitive.multiple_results else [found])
        found = self._translated(equation.primitive.name, equation, inputs)
        return found if isinstance(found, list) else [found]

    def _translated(self, name: str, equation: Any, inputs: list[Any]) -> Any:
        params, shape = equation.params, equation.outvars[0].aval.shape
        dtype, x = equation.outvars[0].aval.dtype, inputs[0]
        own = getattr(self, f"_{name}", None)
        if name in SAME:
            return self.add(SAME[name], *inputs)
        if name in ("reduce_or", "reduce_and"):
            kind = "ReduceMax" if name == "reduce_or" else "ReduceMin"
            return self._cast(self._reduced(kind, self._cast(x, np.int32), params["axes"]), bool)
        if name in REDUCED:
            return self._reduced(REDUCED[name], x, params["axes"])
        if name in ("reshape", "squeeze"):
            return self._reshaped(x, shape)
        if name == "convert_element_type":
            return self._cast(x, dtype)
        if name in ("stop_gradient", "copy"):
            return x
        if own is None:
            raise DataError(name, "is an operation that cannot be written as ONNX; write a .stablehlo file")
        return own(equation, *inputs)

    def _reduced(self, kind: str, x: Any, axes: Sequence[int]) -> str:
        return self.add(kind, x, np.array(axes, np.int64), keepdims=0)

    def _cast(self, x: Any, dtype: Any) -> str:
        return self.add("Cast", x, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def _reshaped(self, x: Any, shape: Sequence[Any]) -> str:
        sizes = [-1 if _symbolic(size) else size for size in shape]
        return self.add("Reshape", x, np.array(sizes, np.int64))

    def _expanded(self, x: Any, shape: Sequence[Any]) -> str:
        """`x`, of as many axes as `shape`, broadcast to it."""
        sizes: Any = np.array([1 if _symbolic(size) else size for size in shape], np.int64)
        if _symbolic(*shape):
            count = self.add("Shape", self.first, start=0, end=1)
            parts = [count if _symbolic(size) else np.array([size], np.int64) for size in shape]
            sizes = self.add("Concat", *parts, axis=0)
        return self.add("Expand", x, sizes)

    def _broadcast_in_dim(self, equation: Any, x: Any, *_: Any) -> str:
        shape, places = equation.params["shape"], equation.params["broadcast_dimensions"]
        before = equation.invars[0].aval.shape
        sizes = [1] * len(shape)
        for place, size in zip(places, before, strict=True):
            sizes[place] = size
        x = x if tuple(sizes) == tuple(before) else self._reshaped(x, sizes)
        return x if tuple(sizes) == tuple(shape) else self._expanded(x, shape)

    def _dot_general(self, equation: Any, a: Any, b: Any) -> str:
        (of_a, of_b), (batch_a, batch_b) = equation.params["dimension_numbers"]
        dims_a, dims_b = (len(x.aval.shape) for x in equation.invars)
        letters = iter("abcdefghijklmnopqrstuvwxyz")
        first = [next(letters) for _ in range(dims_a)]
        second = [""] * dims_b
        for i, j in zip((*batch_a, *of_a), (*batch_b, *of_b), strict=True):
            second[j] = first[i]
        second = [letter or next(letters) for letter in second]
        summed = {first[i] for i in of_a}
        batch = [first[i] for i in batch_a]
        result = batch + [x for x in first + second if x not in summed and x not in batch]
        if (first, second, result) == (["a", "b"], ["b", "c"], ["a", "c"]):
            return self.add("MatMul", a, b)
        return self.add("Einsum", a, b, equation=f"{''.join(first)},{''.join(second)}->{''.join(result)}")

    def _select_n(self, equation: Any, which: Any, no: Any, yes: Any) -> str:
        return self.add("Where", which, yes, no)

    def _concatenate(self, equation: Any, *parts: Any) -> str:
        return self.add("Concat", *parts, axis=equation.params["dimension"])

    def _stack(self, equation: Any, *parts: Any) -> str:
        axis = equation.params["axis"]
        parts = [self.add("Unsqueeze", x, np.array([axis], np.int64)) for x in parts]
        return self.add("Concat", *parts, axis=axis)

    def _transpose(self, equation: Any, x: Any) -> str:
        return self.add("Transpose", x, perm=list(equation.params["permutation"]))

    def _split(self, equation: Any, x: Any) -> Any:
        sizes, axis = np.array(equation.params["sizes"], np.int64), equation.params["axis"]
        return self.add("Split", x, sizes, outputs=len(sizes), axis=axis)

    def _slice(self, equation: Any, x: Any) -> str:
        params = equation.params
        steps = params["strides"] or [1] * len(params["start_indices"])
        whole = zip(params["start_indices"], params["limit_indices"], steps, strict=True)
        cut = [(axis, *ends) for axis, ends in enumerate(whole) if not _symbolic(ends[1])]
        axes, begin, end, step = np.array(cut, np.int64).T
        return self.add("Slice", x, begin, end, axes, step)

    def _rev(self, equation: Any, x: Any) -> str:
        axes = np.array(equation.params["dimensions"], np.int64)
        back, end = np.full(len(axes), -1), np.full(len(axes), np.iinfo(np.int64).min)
        return self.add("Slice", x, back, end, axes, back)

    def _gather(self, equation: Any, x: Any, index: Any) -> str:
        """`x[..., index, ...]` alone: constant positions along one axis."""
        numbers, result = equation.params["dimension_numbers"], equation.outvars[0].aval.shape
        axis, *more = numbers.start_index_map
        inserted = range(axis, axis + np.ndim(index) - 1)  # the axes of the index in the result
        kept = tuple(i for i in range(len(result)) if i not in inserted)
        if (
            isinstance(index, str)
            or more
            or numbers.collapsed_slice_dims != (axis,)
            or numbers.offset_dims != kept
        ):
            raise DataError(
                "gather", "is used in a way that cannot be written as ONNX; write a .stablehlo file"
            )
        return self.add("Gather", x, index[..., 0], axis=axis)

    def _square(self, equation: Any, x: Any) -> str:
        return self.add("Mul", x, x)

    def _integer_pow(self, equation: Any, x: Any) -> str:
        return self.add("Pow", x, np.array(equation.params["y"], equation.outvars[0].aval.dtype))

    def _rsqrt(self, equation: Any, x: Any) -> str:
        return self.add("Reciprocal", self.add("Sqrt", x))

    def _is_finite(self, equation: Any, x: Any) -> str:
        return self.add("Less", self.add("Abs", x), np.array(np.inf, equation.invars[0].aval.dtype))

    def _ne(self, equation: Any, a: Any, b: Any) -> str:
        return self.add("Not", self.add("Equal", a, b))


def _symbolic(*sizes: Any) -> bool:
    """Whether one of `sizes` depends on the number of windows."""
    return any(export.is_symbolic_dim(size) for size in sizes)


def _used(jaxpr: Any) -> list[Any]:
    """The equations that the results depend on."""
    needed, used = {x for x in jaxpr.outvars if not isinstance(x, Literal)}, []
    for equation in reversed(jaxpr.eqns):
        if needed & set(equation.outvars):
            used.append(equation)
            needed |= {x for x in equation.invars if not isinstance(x, Literal)}
    return used[::-1]
