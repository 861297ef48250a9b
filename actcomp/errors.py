"""Every error that a user can cause: what happened, where, and what to do."""

from __future__ import annotations


class ActcompError(Exception):
    """Base of all errors of actcomp. The message's last line, after ``do:``, names the fix."""

    def __init__(self, what: str, *, do: str | None = None) -> None:
        self.what, self.do = what, do
        super().__init__(what if do is None else f"{what}\n  do: {do}")


class ParseError(ActcompError):
    """The text is no expression of the language; ``position`` and ``length`` mark the place."""

    def __init__(
        self, what: str, *, text: str = "", position: int | None = None, length: int = 1, do: str | None = None
    ) -> None:
        self.text, self.position, self.length = text, position, length
        if position is not None and len(text) <= 400 and "\n" not in text:
            what = f"{what}\n  {text}\n  {' ' * position}{'^' * max(1, length)}"
        super().__init__(what, do=do)


class UnsupportedExpression(ActcompError):
    """The expression is understood but outside what can be compiled (a function, a size, an exponent)."""


class NotDifferentiable(ActcompError):
    """A derivative was asked for that does not exist under the documented conventions."""


class UnboundedImage(ActcompError):
    """The derivative takes arbitrarily large values, so that its image has no end to reflect at or to divide by."""


class NotMonotone(ActcompError):
    """The derivative takes both signs, or vanishes where the rule needs the function to be invertible."""


class NoClosedForm(ActcompError):
    """What was asked for has no closed form, and no certified approximation either."""


class ProofFailed(ActcompError):
    """What was found does not stand its own proof: a fault of this package, which gives no answer then."""

    def __init__(self, what: str, *, do: str | None = "report the formula, and use another rule") -> None:
        super().__init__(what, do=do)


class NoDecomposition(ActcompError):
    """The cut asked for does not take the expression apart."""


class UndecidedImage(ActcompError):
    """The derivative's image could not be enclosed: it oscillates without a period, or varies too wildly to prove."""


class DTypeError(ActcompError, TypeError):
    """An array's element type is not supported, or two arrays differ in it."""


class ShapeError(ActcompError, ValueError):
    """Shapes do not broadcast, or an output's shape, writability or memory does not fit."""


class DeviceError(ActcompError, ValueError):
    """An array lives where this kernel cannot reach it, or two arrays live apart."""


class CacheError(ActcompError):
    """The cache directory cannot be used as asked."""


class ArgumentError(ActcompError, TypeError):
    """A call has too many or too few inputs, or names a parameter that the kernel does not have."""


class ToolchainError(ActcompError, RuntimeError):
    """A tool of the CUDA toolchain is missing, too old, or does not run here."""


class AssemblyError(ActcompError, RuntimeError):
    """The CUDA toolchain refuses code that this package wrote: a fault of this package."""

    def __init__(self, what: str, *, do: str | None = "report the formula and the machine") -> None:
        super().__init__(what, do=do)


class OutOfMemory(ActcompError, MemoryError):
    """A CUDA device has not the memory for results or scratch."""


class LaunchError(ActcompError, RuntimeError):
    """The CUDA driver refused a launch, or says that a kernel of this process, of any library, has failed."""
