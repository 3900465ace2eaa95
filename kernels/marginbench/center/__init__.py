"""Center loss: softmax with a pull of each embedding towards the center of its class.

Centers are not learnt by gradient: ``update`` moves them by the paper's rule, which counts the
samples of each class. No peer computes any of the three: pytorch-metric-learning 2.9.0 has no
center loss.
"""

from ..loss import Cost, Invariant, Loss, Range, Shape, Training, Variant, standard_contenders
from ..softmax import CONFIDENT

_PAPER = "Wen, Zhang, Li, Qiao 2016 (center loss)"
_PERMUTATION = Invariant("the order of the batch does not matter", ".shared.invariants:permutation")


def _head_arguments(batch):
    return {
        "embeddings": batch.embeddings,
        "labels": batch.labels,
        "class_weights": batch.class_weights,
        "bias": batch.bias,
        "centers": batch.centers,
    }


def _rows_arguments(batch):
    return {
        "embeddings": batch.embeddings,
        "labels": batch.labels,
        "centers": batch.centers,
    }


def _joint_cost(shape: Shape, itemsize: int) -> Cost:
    b, d, c = shape.batch, shape.dim, shape.classes
    operands = (b * d + c * d + c) * itemsize
    centers = min(b, c) * d * itemsize
    product = 2 * b * c * d
    return Cost(
        forward_bytes=operands + centers + 8 * b + 4,
        backward_bytes=2 * operands + centers + 8 * b + 4,
        forward_flops=product + 3 * b * d,
        backward_flops=2 * product + 2 * b * d,
    )


def _term_cost(shape: Shape, itemsize: int) -> Cost:
    b, d, c = shape.batch, shape.dim, shape.classes
    embeddings, centers = b * d * itemsize, min(b, c) * d * itemsize
    return Cost(
        forward_bytes=embeddings + centers + 8 * b + 4,
        backward_bytes=2 * embeddings + centers + 8 * b + 4,
        forward_flops=3 * b * d,
        backward_flops=2 * b * d,
    )


def _update_cost(shape: Shape, itemsize: int) -> Cost:
    b, d, c = shape.batch, shape.dim, shape.classes
    return Cost(
        forward_bytes=(b * d + 2 * c * d) * itemsize + 8 * b,
        backward_bytes=0,
        # A sum a class that is there, and its center moved: the others are copied.
        forward_flops=b * d + 3 * min(b, c) * d,
        backward_flops=0,
    )


LOSS = Loss(
    name="center",
    title="Center loss",
    source=f"{_PAPER}, equations 2, 4 and 5",
    training=Training(
        variant="joint",
        updates={"centers": "update"},
        source=f"{_PAPER}, algorithm 1",
        # About the paper's own sweeps (figure 5), whose weight 0 would be softmax.
        search={"weight": Range(1e-4, 0.1, log=True), "alpha": Range(0.05, 1.0)},
    ),
    cross_entropy_options={"weight": 0.0},
    public={
        "CenterLoss": "modules:CenterLoss",
        "CenterTerm": "modules:CenterTerm",
        "functional.center": "functional:center",
        "functional.center_term": "functional:center_term",
        "functional.center_update": "functional:center_update",
    },
    variants=(
        Variant(
            name="joint",
            summary="softmax loss plus weight/2 times the squared distance to the class's center",
            equation=r"L = -\sum_i \log \frac{e^{W_{y_i} \cdot x_i + b_{y_i}}}"
            r"{\sum_j e^{W_j \cdot x_i + b_j}} + \frac{\lambda}{2} \sum_i \|x_i - c_{y_i}\|^2",
            source=f"{_PAPER}, equation 5",
            public="functional.center",
            family="head",
            arguments=_head_arguments,
            differentiable=("embeddings", "class_weights", "bias"),
            options={"weight": 0.003},
            contenders=standard_contenders("joint", eager_unfit=CONFIDENT, tiled=True),
            cost=_joint_cost,
            reference_elements=lambda shape: shape.batch * shape.classes,
            invariants=(
                _PERMUTATION,
                Invariant(
                    "a constant added to every bias does not matter",
                    ".shared.invariants:bias_shift",
                ),
            ),
        ),
        Variant(
            name="term",
            summary="half the squared distance to the class's center, alone",
            equation=r"L_C = \frac{1}{2} \sum_i \|x_i - c_{y_i}\|^2",
            source=f"{_PAPER}, equation 2",
            public="functional.center_term",
            family="rows",
            arguments=_rows_arguments,
            differentiable=("embeddings",),
            contenders=standard_contenders("term"),
            cost=_term_cost,
            reference_elements=lambda shape: shape.batch * shape.dim,
            invariants=(_PERMUTATION,),
        ),
        Variant(
            name="update",
            summary="the centers' own step, by the count of each class; deterministic",
            equation=r"c_j \leftarrow c_j - \alpha \frac{\sum_i [y_i = j] (c_j - x_i)}"
            r"{1 + \sum_i [y_i = j]}",
            source=f"{_PAPER}, equation 4 and algorithm 1",
            public="functional.center_update",
            family="rows",
            arguments=_rows_arguments,
            options={"alpha": 0.5},
            output="tensor",
            reductions=("mean",),
            contenders=standard_contenders("update"),
            cost=_update_cost,
            reference_elements=lambda shape: (shape.batch + shape.classes) * shape.dim,
        ),
    ),
)
