"""Softmax loss with its linear layer: multinomial logistic regression over class weights."""

from ..loss import Cost, Loss, Shape, Variant, standard_contenders


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
    # Backward makes the logits again (they are never stored) and feeds dX and dW.
    return Cost(
        forward_bytes=operands + 8 * b + 4,
        backward_bytes=2 * operands + 8 * b + 4,
        forward_flops=product,
        backward_flops=3 * product,
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
            contenders=standard_contenders("softmax"),
            cost=_cost,
            reference_elements=lambda shape: shape.batch * shape.classes,
        ),
    ),
)
