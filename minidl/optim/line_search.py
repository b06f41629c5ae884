"""How far to go in a given direction: a line search for the strong Wolfe conditions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..tensor import Tensor


@dataclass
class Point:
    """A point at x + t * direction: the loss, its gradient (flat), and their product with the
    direction, which is the slope of the loss along the line."""

    t: float
    loss: float
    grad: Tensor
    slope: float


def strong_wolfe(
    evaluate: Callable[[float], Point],
    start: Point,
    t: float,
    *,
    reach: float,
    tolerance_change: float = 1e-9,
    max_tries: int = 25,
    c1: float = 1e-4,
    c2: float = 0.9,
) -> tuple[Point, int]:
    """A point where the loss has fallen enough and is flat enough, and how many were evaluated.

        loss(t) <= loss(0) + c1 * t * slope(0)        and        |slope(t)| <= c2 * |slope(0)|

    start: the point at t = 0.    t: where to look first.    reach: the direction's largest entry;
    an interval whose ends differ by less than tolerance_change in each weight is not divided. The
    best point so far is returned if the search ends early.

    Source: Nocedal and Wright, "Numerical Optimization", 2nd edition, 2006, algorithms 3.5 and 3.6,
    in the form of Schmidt's minFunc, which PyTorch follows.
    """

    def too_high(point: Point) -> bool:
        return point.loss > start.loss + c1 * point.t * start.slope

    def flat_enough(point: Point) -> bool:
        return abs(point.slope) <= -c2 * start.slope

    # Go on until a minimum is bracketed.
    previous, point, tries = start, evaluate(t), 0
    while tries < max_tries:
        if too_high(point) or (tries > 1 and point.loss >= previous.loss):
            bracket = [previous, point]
            break
        if flat_enough(point):
            return point, tries + 1
        if point.slope >= 0:
            bracket = [previous, point]
            break
        nearest, farthest = point.t + 0.01 * (point.t - previous.t), 10 * point.t
        t = cubic_minimum(previous, point, nearest, farthest)
        previous, point = point, evaluate(t)
        tries += 1
    else:
        bracket = [start, point]

    # Make the bracket smaller around the minimum.
    low = 0 if bracket[0].loss <= bracket[1].loss else 1
    near_an_end = False
    while tries < max_tries:
        left, right = sorted(end.t for end in bracket)
        if (right - left) * reach < tolerance_change:
            break
        t = cubic_minimum(*bracket, left, right)
        margin = 0.1 * (right - left)
        if min(right - t, t - left) >= margin:
            near_an_end = False
        elif near_an_end or not left < t < right:  # twice in a row would be slow
            t = right - margin if abs(t - right) < abs(t - left) else left + margin
            near_an_end = False
        else:
            near_an_end = True
        point = evaluate(t)
        tries += 1
        if too_high(point) or point.loss >= bracket[low].loss:
            bracket[1 - low] = point
            low = 0 if bracket[0].loss <= bracket[1].loss else 1
        elif flat_enough(point):
            return point, tries + 1
        else:
            if point.slope * (bracket[1 - low].t - bracket[low].t) >= 0:
                bracket[1 - low] = bracket[low]
            bracket[low] = point
    return bracket[low], tries + 1


def cubic_minimum(a: Point, b: Point, lowest: float, highest: float) -> float:
    """Where the cubic through two points with their slopes is least, kept within the bounds.

    The middle of the bounds if it has no minimum. Source: Nocedal and Wright, equation 3.59.
    """
    if a.t > b.t:
        a, b = b, a
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1**2 - a.slope * b.slope
    d2 = square**0.5 if square >= 0 else 0.0
    below = b.slope - a.slope + 2 * d2
    if not square >= 0 or below == 0:
        return (lowest + highest) / 2
    t = b.t - (b.t - a.t) * (b.slope + d2 - d1) / below
    return min(max(t, lowest), highest)
