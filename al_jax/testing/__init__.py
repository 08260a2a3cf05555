"""Contract checks for your own parts, as functions: no test runner is needed.

    from al_jax import testing
    print(testing.check_strategy(my_strategy()))

A check tries a part on small, unfriendly data, raises a ContractError with
every rule that is broken and the evidence, and otherwise returns a Report.
"""

from al_jax.testing.kernel import check_kernel
from al_jax.testing.learner import check_learner
from al_jax.testing.report import Report
from al_jax.testing.strategy import check_strategy

__all__ = ['Report', 'check_kernel', 'check_learner', 'check_strategy']
