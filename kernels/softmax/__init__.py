"""Softmax loss with its linear layer: multinomial logistic regression over class weights."""

from ..loss import Cost, Invariant, Loss, Shape, Variant, standard_contenders


def _arguments(batch):
    return {
        "embeddings": batch.embeddings,
        "labels": batch.labels,
        "class_weights": batch.class_weights,
        "bias": batch.bias,
    }


def _cost(shape: Shape, itemsize: int) -> Cost:
    b, d, c = shape.batch, shape.dim, shape.classes
    operands = (b * d + c * d + c) * itemsize
    product = 2 * b * c * d
    # Backward feeds dX and dW. Who does not keep the logits makes them again: a third product,
    # but no lower bound.
    return Cost(
        forward_bytes=operands + 8 * b + 4,
        backward_bytes=2 * operands + 8 * b + 4,
        forward_flops=product,
        backward_flops=2 * product,
    )


LOSS = Loss(
    name="softmax",
    title="Softmax loss",
    source="Wen, Zhang, Li, Qiao 2016 (center loss), equation 1",
    variants=(
        Variant(
            name="linear",
            summary="cross-entropy of a linear layer with bias, the layer included",
            equation=r"L = -\sum_i \log \frac{e^{W_{y_i} \cdot x_i + b_{y_i}}}"
            r"{\sum_j e^{W_j \cdot x_i + b_j}}",
            source="Wen, Zhang, Li, Qiao 2016 (center loss), equation 1",
            family="head",
            arguments=_arguments,
            differentiable=("embeddings", "class_weights", "bias"),
            contenders=standard_contenders("softmax", tiled=True),
            cost=_cost,
            reference_elements=lambda shape: shape.batch * shape.classes,
            invariants=(
                Invariant(
                    "the order of the batch does not matter", ".machines.invariants:permutation"
                ),
                Invariant(
                    "a constant added to every bias does not matter",
                    ".machines.invariants:bias_shift",
                ),
                Invariant(
                    "a vector added to every class weight does not matter",
                    ".machines.invariants:weight_shift",
                ),
            ),
        ),
    ),
)
