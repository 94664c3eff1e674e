"""Errors of access: what the one who asks did wrong, each as one sentence."""

from __future__ import annotations


class AccessError(Exception):
    """A wish that cannot be granted. `code` is for programs, `field` names the wrong input."""

    code = "invalid"
    field: str | None = None

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        if field is not None:
            self.field = field


class WeakPasswordError(AccessError):
    """The new password is too short, too long, or easy to guess."""

    code = "weak_password"
    field = "new"


class NameTakenError(AccessError):
    """There is one of that name already."""

    code = "name_taken"
    field = "name"


class UnknownError(AccessError):
    """There is no such person, token, host or invitation."""

    code = "not_found"


class LastAdminError(AccessError):
    """Nobody could administer afterwards."""

    code = "last_admin"


class LimitError(AccessError):
    """A named limit is reached."""

    code = "limit"


class SignInError(AccessError):
    """Name or password is wrong, or the account is disabled; which of them is not said."""

    code = "wrong_credentials"


class ThrottledError(AccessError):
    """Too many failures; wait `retry_after_s`."""

    code = "throttled"

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"Too many failed sign-ins. Try again in {retry_after_s:.0f} s.")
        self.retry_after_s = retry_after_s


class EnrolmentError(AccessError):
    """The invitation is unknown, used, expired or withdrawn, or does not fit this host."""

    code = "enrolment_refused"


class CertificateError(AccessError):
    """A certificate or key that the operator gave cannot be used."""

    code = "certificate"
