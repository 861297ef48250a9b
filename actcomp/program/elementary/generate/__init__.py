"""Where every coefficient of the elementary functions comes from; needs mpmath, and is never imported at run time.

``python -m actcomp.program.elementary.generate`` lists the tables, ``... generate exponential`` prints all those of
one module and ``... generate exponential.EXP_F32`` prints one, as it stands in ``elementary/exponential.py``. A module
here has the name of the module whose tables it makes and a dict RECIPES from the tables' names to functions without
arguments that return a Fit.
"""
