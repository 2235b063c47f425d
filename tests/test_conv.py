"""The convolution whose gradient stays fast in a scan: the same numbers as XLA's own."""

import argparse

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from repose_jax.experiments.bench.convolution import Shape
from repose_jax.networks import conv
from repose_jax.networks.conv import Conv, conv_general_dilated

LAYOUT = ("NHWC", "HWIO", "NHWC")


def reference(x, kernel):
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=LAYOUT)


def ours(x, kernel):
    return conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=LAYOUT)


@pytest.fixture(params=[(3, 3), (1, 1), (5, 3)], ids=str)
def operands(request):
    first, second = jax.random.split(jax.random.key(0))
    return (jax.random.normal(first, (2, 6, 5, 4)),
            jax.random.normal(second, (*request.param, 4, 3)))


def test_values_and_gradients_are_those_of_xla(operands):
    def of(conv):
        def total(x, kernel):
            return jnp.sum(jnp.tanh(conv(x, kernel)) ** 2)
        return jax.value_and_grad(total, argnums=(0, 1))(*operands)

    for got, want in zip(jax.tree.leaves(of(ours)), jax.tree.leaves(of(reference))):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_the_kernels_gradient_in_parts_is_that_in_one():
    """4 x 64 x 64 sums have more terms than one part takes; the channels are wide enough."""
    keys = jax.random.split(jax.random.key(1), 3)
    x = jax.random.normal(keys[0], (4, 64, 64, 32))
    kernel = jax.random.normal(keys[1], (3, 3, 32, 32))
    weight = jax.random.normal(keys[2], (4, 64, 64, 32))
    got, want = (jax.jit(jax.grad(lambda k, c=conv: jnp.sum(weight * c(x, k))))(kernel)
                 for conv in (ours, reference))
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("size", [(3, 3), (5, 3)], ids=str)
def test_the_kernels_gradient_in_strips_is_that_in_one(size, monkeypatch):
    """A single picture has none to part; strips of 3 rows of 10, the last of one."""
    monkeypatch.setattr(conv, "_TERMS", 64)
    monkeypatch.setattr(conv, "_STRIP", 3 * 9 * 32)
    keys = jax.random.split(jax.random.key(1), 3)
    x = jax.random.normal(keys[0], (1, 10, 9, 32))
    kernel = jax.random.normal(keys[1], (*size, 32, 32))
    weight = jax.random.normal(keys[2], x.shape)
    gradients = [jax.jit(jax.grad(lambda k, c=each: jnp.sum(weight * c(x, k))))
                 for each in (ours, reference)]
    got, want = (each(kernel) for each in gradients)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    convolutions = [each.lower(kernel).as_text().count("stablehlo.convolution") for each in gradients]
    # The value's own is not needed; an accelerator's program has the gradient at once.
    assert convolutions == [4, 1]
    assert gradients[0].trace(kernel).lower(lowering_platforms=("tpu",)).as_text().count(
        "stablehlo.convolution") == 1
    monkeypatch.setattr(conv, "_STRIPS", 3)  # more would take long to compile: strips of 4 rows
    jax.clear_caches()
    few = jax.jit(jax.grad(lambda k: jnp.sum(weight * ours(x, k))))
    assert few.lower(kernel).as_text().count("stablehlo.convolution") == 3
    np.testing.assert_allclose(few(kernel), want, rtol=1e-4, atol=1e-4)


def all_of(convolution):
    """Value and both gradients, with a weight for each number."""
    def run(x, kernel, weight):
        value, pulled = jax.vjp(convolution, x, kernel)
        return value, *pulled(weight)
    return run


@pytest.mark.parametrize(("cells", "size"), [
    ((2, 1, 2), (3, 3)), ((3, 5, 4), (5, 3)), ((1, 8, 8), (3, 3)), ((2, 9, 7), (1, 1))], ids=str)
def test_a_matrix_product_has_the_numbers_of_xla(cells, size):
    """Kernels larger than the picture, odd sides, several pictures; by shape on a CPU alone."""
    keys = jax.random.split(jax.random.key(2), 3)
    x, weight = (jax.random.normal(key, (*cells, channels)) for key, channels in zip(keys, (32, 40)))
    kernel = jax.random.normal(keys[2], (*size, 32, 40))
    run = jax.jit(all_of(ours))
    for got, want in zip(run(x, kernel, weight), all_of(reference)(x, kernel, weight), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * float(jnp.abs(want).max()))
    count = [run.trace(x, kernel, weight).lower(lowering_platforms=(platform,)).as_text().count(
        "stablehlo.convolution") for platform in ("cpu", "tpu")]
    assert count == [0, 3]


def test_a_matrix_product_of_ones_counts_the_cells_that_the_kernel_sees():
    """4, 6 or 9 of its 3x3, each 32 channels; 40 of them for the picture; and for the kernel the cells
    that a tap meets, 3 or 4 rows by 4 or 5 columns."""
    seen = np.outer([2, 3, 3, 2], [2, 3, 3, 3, 2])
    value, picture, kernel = all_of(ours)(
        jnp.ones((1, 4, 5, 32)), jnp.ones((3, 3, 32, 40)), jnp.ones((1, 4, 5, 40)))
    np.testing.assert_array_equal(value, np.broadcast_to(32 * seen[..., None], (1, 4, 5, 40)))
    np.testing.assert_array_equal(picture, np.broadcast_to(40 * seen[..., None], (1, 4, 5, 32)))
    met = np.outer([3, 4, 3], [4, 5, 4])
    np.testing.assert_array_equal(kernel, np.broadcast_to(met[..., None, None], (3, 3, 32, 40)))


def test_second_derivatives_of_a_matrix_product():
    x, kernel = jnp.ones((1, 2, 3, 32)), jax.random.normal(jax.random.key(3), (3, 3, 32, 32)) / 20

    def of(convolution):
        def slope(x, kernel):
            return jnp.sum(jax.grad(lambda x: jnp.sum(jnp.sin(convolution(x, kernel))))(x) ** 2)
        return jax.jit(jax.grad(slope, argnums=(0, 1)))(x, kernel)

    for got, want in zip(of(ours), of(reference)):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)


def test_where_a_product_is_chosen():
    """As many cells as channels, 64 at least; 1x1 always; neither narrow nor bfloat16 ones."""
    def convolutions(cells, channels, size=3, dtype=jnp.float32):
        arguments = (jax.ShapeDtypeStruct(shape, dtype) for shape in (
            (*cells, channels), (size, size, channels, channels), (*cells, channels)))
        return jax.jit(all_of(ours)).trace(*arguments).lower(
            lowering_platforms=("cpu",)).as_text().count("stablehlo.convolution")

    assert convolutions((1, 8, 8), 32) == 0 and convolutions((2, 8, 8), 32) == 2
    assert convolutions((2, 8, 8), 128) == 0 and convolutions((1, 32, 32), 128) == 3
    assert convolutions((8, 32, 32), 128, size=1) == 0
    assert convolutions((1, 4, 4), 16) == 3
    assert convolutions((1, 4, 4), 64, dtype=jnp.bfloat16) == 3


def test_a_batch_of_unknown_size_has_its_convolutions():
    """As `repose export` writes a program."""
    batch, = jax.export.symbolic_shape("b")
    shapes = (batch, 4, 4, 32), (3, 3, 32, 32)
    program = jax.export.export(jax.jit(ours))(
        *(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes))
    keys = jax.random.split(jax.random.key(4))
    operands = [jax.random.normal(key, shape)
                for key, shape in zip(keys, ((2, 4, 4, 32), shapes[1]), strict=True)]
    np.testing.assert_allclose(program.call(*operands), reference(*operands), rtol=1e-4, atol=1e-4)


def test_second_derivatives_too(operands):
    def of(conv):
        def slope(x, kernel):
            return jnp.sum(jax.grad(lambda x: jnp.sum(jnp.sin(conv(x, kernel))))(x) ** 2)
        return jax.grad(slope, argnums=(0, 1))(*operands)

    for got, want in zip(of(ours), of(reference)):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("argument", "slow"), [(0, "_01oi->"), (1, "_i01o->")],
                         ids=["picture", "kernel"])
def test_a_loop_holds_no_convolution_of_the_slow_layout(argument, slow):
    """As guidance and as accumulation have their gradients in a loop."""
    operands = jnp.ones((2, 8, 8, 4)), jnp.ones((3, 3, 4, 4))

    def compiled(conv):
        def loop(*operands):
            def body(moved, _):
                def total(one):
                    return jnp.sum(conv(*(one if i == argument else other
                                          for i, other in enumerate(operands))) ** 2)
                return moved - jax.grad(total)(moved), None
            return lax.scan(body, operands[argument], None, length=3)[0]
        return jax.jit(loop).lower(*operands).compile().as_text()

    assert "convolution(" in compiled(ours)
    assert slow in compiled(reference) and slow not in compiled(ours)


@pytest.mark.parametrize("options", [
    {"window_strides": (2, 2), "padding": "SAME"}, {"window_strides": (1, 1), "padding": "VALID"}])
def test_other_convolutions_are_refused(options):
    with pytest.raises(ValueError, match="stride 1 and SAME"):
        conv_general_dilated(jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 1)),
                             dimension_numbers=LAYOUT, **options)


def test_module_has_the_parameters_of_flax():
    params = Conv(5, (3, 3)).init(jax.random.key(0), jnp.ones((1, 4, 4, 2)))["params"]
    assert params["kernel"].shape == (3, 3, 2, 5) and params["bias"].shape == (5,)


def test_a_shape_of_the_bench_counts_its_operations():
    shape = Shape.read("2x4x8x32x16x3")
    assert shape.operations == 2 * (2 * 4 * 8) * (9 * 32 * 16) / 1e9
    assert [a.shape for a in shape.arrays()] == [(2, 4, 8, 32), (3, 3, 32, 16), (2, 4, 8, 16)]


@pytest.mark.parametrize(("text", "message"), [
    ("4x4", "six whole numbers"), ("1x4x4x8x8xa", "six whole numbers"), ("1x4x4x8x8x2", "odd"),
    ("0x4x4x8x8x3", "at least 1")])
def test_another_shape_is_refused(text, message):
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        Shape.read(text)
