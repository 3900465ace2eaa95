"""Softmax loss with its linear layer: multinomial logistic regression over class weights.

Eager is plain ``F.linear`` and ``F.cross_entropy``. torch's own fused form, liger-kernel and quack
take a bias, quack by way of the B x C logits; cut-cross-entropy, liger-kernel's CuTe operator and
quack's chunked form have none, so ``no-bias`` is where all meet.
"""

from collections.abc import Callable

from ..loss import Contender, Cost, Invariant, Loss, Shape, Training, Variant, standard_contenders

_SOURCE = "Wen, Zhang, Li, Qiao 2016 (center loss), equation 1"
_HALF = ("bfloat16", "float16")
_TAKEN = ("float32", *_HALF)
_BASELINE = "F.linear and F.cross_entropy (on float32 logits), the plain PyTorch"
# What every head over `F.cross_entropy` shares.
CONFIDENT = {
    "confident": "F.cross_entropy takes log-sum-exp minus the target's logit and p - 1: where the "
    "loss is below eps of the logits, both come out as 0"
}
_PERMUTATION = Invariant("the order of the batch does not matter", ".shared.invariants:permutation")


def _arguments(batch):
    return {**_without_bias(batch), "bias": batch.bias}


def _without_bias(batch):
    return {
        "embeddings": batch.embeddings,
        "labels": batch.labels,
        "class_weights": batch.class_weights,
    }


def _cost(shape: Shape, itemsize: int) -> Cost:
    return _cost_of((shape.batch + shape.classes) * shape.dim + shape.classes, shape, itemsize)


def _cost_without_bias(shape: Shape, itemsize: int) -> Cost:
    return _cost_of((shape.batch + shape.classes) * shape.dim, shape, itemsize)


def _cost_of(numbers: int, shape: Shape, itemsize: int) -> Cost:
    b, d, c = shape.batch, shape.dim, shape.classes
    operands = numbers * itemsize
    product = 2 * b * c * d
    # Backward feeds dX and dW. Without the logits kept they are recomputed: a third product,
    # but no lower bound.
    return Cost(
        forward_bytes=operands + 8 * b + 4,
        backward_bytes=2 * operands + 8 * b + 4,
        forward_flops=product,
        backward_flops=2 * product,
    )


def _offsets_limit(shape: Shape, dtype: str) -> str | None:
    if max(shape.batch, shape.classes) * shape.dim >= 2**31:
        return "reads its inputs at 32-bit offsets: B x D and C x D have to stay below 2^31"
    return None


def _vector_limit(shape: Shape, dtype: str) -> str | None:
    if shape.classes % 8:
        return f"loads whole vectors of logits: C has to be a multiple of 8; got {shape.classes}"
    return None


def _chunked_limit(shape: Shape, dtype: str) -> str | None:
    if shape.batch % 8 or shape.dim % 8 or shape.classes % 8:
        return f"aligns rows to 16 bytes: B, D and C have to be multiples of 8; got {shape}"
    return None


_TORCH = Contender(
    "torch-linear-cross-entropy",
    "peers:torch_linear_cross_entropy",
    needs=("package:torch>=2.13",),
    note="F.linear_cross_entropy with options, here in chunks of 256 rows: keeps logits of one. "
    "Its own choice, 4 rows at B=512, D=128, C=10,000, adds to all of dW once for so few; without "
    "options it is F.linear and F.cross_entropy. Sums a chunk in float32, but adds chunks up, and "
    "gives the loss, in the inputs' dtype; rows of one label by atomics on a GPU, so results vary "
    "from call to call; makes the gradients of a mean or sum in forward and refuses a second "
    "backward; never waits for the GPU",
)
_LIGER = Contender(
    "liger-kernel",
    "peers:liger",
    needs=("triton", "cuda", "package:liger_kernel"),
    dtypes=_TAKEN,
    interpretable=True,
    note="fused linear cross-entropy, here with dW summed in float32; logits of a chunk of rows at "
    "a time; makes the gradients in forward and scales them in place in backward, so a second "
    "backward through one graph is wrong unless the gradient from above is 1; waits for the GPU "
    "(.item()) in forward and in backward. Its cross-entropy is the Triton one unless "
    "LIGER_KERNEL_IMPL says otherwise",
)
_LIGER_CUTE = Contender(
    "liger-kernel-cute",
    "peers:liger_cute",
    needs=("cuda", "hopper", "package:liger_kernel", "package:cutlass"),
    dtypes=("bfloat16",),
    note="the CuTe operator for compute capability 9.0 and no other (LigerFusedScaledCrossEntropy"
    "SM90Function, in liger-kernel from 0.8.2 on): keeps no logits in forward, where it rounds "
    "them to float16, and those of 1,024 rows in backward; adds up dW in bfloat16 over these; "
    "waits for the GPU in forward, to check the labels; has no bias. Its other operators are not "
    "timed: the one that makes gradients in forward asks for B a multiple of 128 and C of 256, the "
    "one for 10.0 for LIGER_KERNEL_IMPL=cutedsl in the whole process",
)
_CUT = Contender(
    "cut-cross-entropy",
    "peers:cut_cross_entropy",
    needs=("triton", "cuda", "package:cut_cross_entropy"),
    dtypes=_HALF,
    limit=_offsets_limit,
    note="filter_eps=None: its default skips gradients below a threshold, another function; adds "
    "up dX and dW in the inputs' 16 bits, in whatever order programs take a lock, so results vary "
    "from call to call; has no bias. The lock has a race: 25.1.1 gives it back (tl_utils.py, line "
    "49) with no barrier after a program's stores, so another may read and add before all of them "
    "are done. Its source has one since January 28, 2025 (76f350d, tl.debug_barrier()), no release "
    "yet: its time lacks what that costs",
)


def _quack(note: str, limit: Callable[[Shape, str], str | None]) -> Contender:
    return Contender(
        "quack-kernels",
        "peers:quack",
        needs=("cuda", "hopper", "package:quack"),
        dtypes=_TAKEN,
        limit=limit,
        note=note,
    )


LOSS = Loss(
    name="softmax",
    title="Softmax loss",
    source=_SOURCE,
    # Nothing of its own to tune: its whole search goes to the learning rate.
    training=Training(variant="linear"),
    public={
        "SoftmaxLoss": "modules:SoftmaxLoss",
        "functional.softmax": "functional:softmax",
    },
    variants=(
        Variant(
            name="linear",
            summary="cross-entropy of a linear layer with bias, the layer included",
            equation=r"L = -\sum_i \log \frac{e^{W_{y_i} \cdot x_i + b_{y_i}}}"
            r"{\sum_j e^{W_j \cdot x_i + b_j}}",
            source=_SOURCE,
            family="head",
            public="functional.softmax",
            arguments=_arguments,
            differentiable=("embeddings", "class_weights", "bias"),
            contenders=(
                *standard_contenders(
                    "softmax", eager_note=_BASELINE, eager_unfit=CONFIDENT, tiled=True
                ),
                _TORCH,
                _LIGER,
                _quack(
                    "F.linear, then its cross-entropy over the B x C logits: its chunked form has "
                    "no bias",
                    _vector_limit,
                ),
            ),
            excused={
                "cut-cross-entropy": "has no bias: see no-bias",
                "liger-kernel-cute": "has no bias: see no-bias",
            },
            cost=_cost,
            reference_elements=lambda shape: shape.batch * shape.classes,
            invariants=(
                _PERMUTATION,
                Invariant(
                    "a constant added to every bias does not matter",
                    ".shared.invariants:bias_shift",
                ),
                Invariant(
                    "a vector added to every class weight does not matter",
                    ".shared.invariants:weight_shift",
                ),
            ),
        ),
        Variant(
            name="no-bias",
            summary="the same without a bias, as margin heads and every peer have it",
            equation=r"L = -\sum_i \log \frac{e^{W_{y_i} \cdot x_i}}{\sum_j e^{W_j \cdot x_i}}",
            source=f"{_SOURCE}, with b = 0",
            family="head",
            public="functional.softmax",
            arguments=_without_bias,
            differentiable=("embeddings", "class_weights"),
            contenders=(
                *standard_contenders(
                    "softmax", eager_note=_BASELINE, eager_unfit=CONFIDENT, tiled=True
                ),
                _TORCH,
                _LIGER,
                _LIGER_CUTE,
                _CUT,
                _quack(
                    "chunked_linear_cross_entropy, in chunks of 4,096 rows (a smaller batch keeps "
                    "all its logits); makes gradients in forward and scales them in place in "
                    "backward; the terms (reduction none) by F.linear and its cross-entropy",
                    _chunked_limit,
                ),
            ),
            cost=_cost_without_bias,
            reference_elements=lambda shape: shape.batch * shape.classes,
            sweep=False,
            invariants=(_PERMUTATION,),
        ),
    ),
)
