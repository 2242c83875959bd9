"""Another try, after a while, for what may pass by itself: a lock, a server or a network that is away. What a contract
refuses and what a person has to mend is raised at once. Which is which, `PlatformError.transient` says.
"""

from __future__ import annotations

import logging

import tenacity

from data_platform.errors import PlatformError

log = logging.getLogger(__name__)
ATTEMPTS = 6
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 8.0  # random up to 0.5, 1, 2, 4, 8 s: a restart of a server fits in


def retrying() -> tenacity.Retrying:
    """Tries to iterate over: `for trial in retrying(): with trial: …`. The last error is raised as it is."""
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(_passes), stop=tenacity.stop_after_attempt(ATTEMPTS), reraise=True,
        wait=tenacity.wait_random_exponential(multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS), before_sleep=_say,
    )  # fmt: skip


def _passes(error: BaseException) -> bool:
    return isinstance(error, PlatformError) and error.transient


def _say(state: tenacity.RetryCallState) -> None:
    error, wait = (
        state.outcome.exception() if state.outcome else None,
        state.next_action.sleep if state.next_action else 0,
    )
    log.warning("try %s of %s failed, the next one is in %.1f s: %s", state.attempt_number, ATTEMPTS, wait, error)
