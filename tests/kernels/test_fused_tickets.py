"""The backward pass of a head takes its work items by tickets: whatever order programs run in, and
however long one of them is held up, the gradients have the same bits.

Several programs run in threads of the interpreter, one at a time; whose turn it is changes at each
atomic operation. A program is held up at a ticket until all others can only wait for it (or have
ended), so an item that reads what no item has made yet, or writes over what is still read, does.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import fused_heads
import pytest
import torch
from triton.runtime import interpreter

from marginbench.loss import Shape
from marginbench.shared import launching, linear_lse_backward

pytestmark = pytest.mark.skipif(
    not launching.INTERPRETED, reason="turns are given in Triton's interpreter"
)

# Enough for one to be held up, one to wait at each gradient of the next range (four), and one more
# to go on to the range whose place in the scratch the held one still reads.
PROGRAMS = 7
# Two blocks of rows, five ranges of classes: more than the scratch has places for.
SHAPE = Shape(19, 5, 150)


class _Turns:
    """Gives the turn to another thread at each atomic operation, round and round; the thread that
    takes the ticket ``held`` has its next one when the others did nothing but wait for long."""

    def __init__(self, held: int) -> None:
        self.held, self.holder, self.turn = held, -1, 0
        self.waited = 0
        self.met = False
        self.done: set[int] = set()
        self.changed = threading.Condition()
        self.local = threading.local()

    def run(self, which: int, program: Any) -> None:
        self.local.which = which
        with self.changed:
            self.changed.wait_for(lambda: self.turn == which)
        try:
            program()
        finally:
            with self.changed:
                self.done.add(which)
                if self.holder == which:
                    self.holder = -1
                self._next(which)

    def pause(self, ticket: int | None, waiting: bool) -> None:
        which = self.local.which
        with self.changed:
            if ticket == self.held:
                self.holder, self.waited, self.met = which, 0, True
            self.waited = self.waited + 1 if waiting else 0
            self._next(which)
            self.changed.wait_for(lambda: self.turn == which)

    def _next(self, which: int) -> None:
        others = [(which + n) % PROGRAMS for n in range(1, PROGRAMS + 1)]
        able = [n for n in others if n not in self.done]
        patient = [n for n in able if n != self.holder]
        if self.holder in able and (self.waited > 4 * PROGRAMS or not patient):
            self.holder = -1
        elif patient:
            able = patient
        if able:
            self.turn = able[0]
        self.changed.notify_all()


@contextmanager
def _side_by_side(held: int) -> Iterator[None]:
    """Inside, the programs of `gradients` take turns; at the end the ticket must have been met."""
    turns, module = _Turns(held), interpreter._interpreter
    started = interpreter.GridExecutor.__call__

    class Memory:
        def __getattr__(self, name: str) -> Any:
            return getattr(module, name)

        def atomic_rmw(self, operation, pointers, values, mask, order):
            found = module.atomic_rmw(operation, pointers, values, mask, order)
            if hasattr(turns.local, "which"):
                counter = int(pointers.reshape(-1)[0]) == turns.tickets
                added = int(values.reshape(-1)[0])
                turns.pause(int(found.reshape(-1)[0]) if counter else None, added == 0)
            return found

    def run(self, *arguments, **named):
        if self.fn is not linear_lse_backward.gradients.rewrite():
            started(self, *arguments, **named)
            return
        turns.tickets = named["tickets_ptr"].data_ptr()
        scope = interpreter._patch_lang(self.fn)
        given = {
            name: value if name in self.constexprs else interpreter._implicit_cvt(value)
            for name, value in named.items()
            if name in self.arg_names
        }
        interpreter.interpreter_builder.set_grid_dim(PROGRAMS, 1, 1)
        interpreter.interpreter_builder.set_grid_idx(0, 0, 0)
        failures: list[BaseException] = []

        def program() -> None:
            try:
                self.fn(**given)
            except BaseException as error:
                failures.append(error)
                raise

        threads = [
            threading.Thread(target=turns.run, args=(which, program), daemon=True)
            for which in range(PROGRAMS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "the programs wait for one another"
        if scope is not None:
            scope.restore()
        assert not failures, failures

    with (
        mock.patch.object(interpreter, "_interpreter", Memory()),
        mock.patch.object(interpreter.GridExecutor, "__call__", run),
    ):
        yield
    assert turns.met and turns.done == set(range(PROGRAMS)), "no programs took turns"


@pytest.mark.parametrize("name", ["softmax/linear", "a-softmax/m4"])
def test_no_item_runs_before_those_that_it_reads(name: str, monkeypatch, device: str, seed: int):
    fused_heads.use_small_tiles(monkeypatch)
    inputs = fused_heads.draw(name, SHAPE, "float32", device, seed)
    torch.use_deterministic_algorithms(True, warn_only=True)  # fresh memory is NaN
    try:
        want, _ = fused_heads.outcome(name, "triton", inputs, "none", seed)
        with launching.recorded() as launches:
            fused_heads.outcome(name, "triton", inputs, "none", seed)
        (launch,) = [one for one in launches if "items" in one.arguments]
        step = sum(n for key, n in launch.arguments.items() if key.endswith("_items"))
        made = launch.arguments["coefficient_items"]
        # Of the first coefficients, those whose place comes round again, and of all gradients.
        for held in (0, made - 1, step + made, step + made + 1, 2 * step - 1, 4 * step - 1):
            with _side_by_side(held):
                got, _ = fused_heads.outcome(name, "triton", inputs, "none", seed)
            for of, exact in want.items():
                assert torch.equal(got[of], exact), (held, of)
    finally:
        torch.use_deterministic_algorithms(False)
