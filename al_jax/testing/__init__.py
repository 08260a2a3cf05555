"""Contract checks for your own parts, as plain functions without a test runner.

    from al_jax import testing
    print(testing.check_strategy(my_strategy()))

A check tries a part on small hostile data. It raises a ContractError with every
broken rule and the evidence, or returns a Report.
"""

from al_jax.testing.kernel import check_kernel
from al_jax.testing.learner import check_learner
from al_jax.testing.report import Report
from al_jax.testing.strategy import check_strategy

__all__ = ['Report', 'check_kernel', 'check_learner', 'check_strategy']
