"""The errors of Sandlot. Each class owns its wire code, HTTP status and whether a retry can help.

SandlotError
├── InvalidRequest            400 invalid_request
│   ├── AddressRefused        400 address_refused
│   ├── PayloadTooLarge       413 request_too_large
│   └── UnsupportedMediaType  415 unsupported_media_type
├── Unauthenticated           401 unauthenticated
├── PermissionDenied          403 permission_denied
├── NotFound                  404 not_found
├── Conflict                  409 aborted
├── ResourceExhausted         429 resource_exhausted
│   └── QuotaExceeded         429 resource_exhausted     (of the caller's project)
├── LimitExceeded             (a run's own limit: step, time or token)
├── Cancelled                 (asked for by the caller)
├── ToolFault                 (goes back to the model as a result)
├── ToolServerFault           502 tool_server_failed
├── CredentialFault           502 credential_failed
├── SourceFailed              502 source_failed          (a repository could not be cloned)
├── ModelFault                502 model_error
│   ├── ModelNotConfigured    400 model_not_configured
│   ├── ModelRefused          400 model_rejected_request
│   ├── ModelAuthFailed       502 model_auth_failed
│   ├── ModelRateLimited      429 model_rate_limited
│   ├── ModelUnavailable      503 model_unavailable
│   ├── ContextExceeded       400 context_length_exceeded
│   ├── ResponseFormatMismatch 502 response_format_mismatch
│   ├── ToolChoiceIgnored     502 tool_choice_ignored
│   └── ScriptMismatch        400 script_mismatch
├── SandboxFault              503 sandbox_failed
│   ├── SandboxUnavailable    503 sandbox_unavailable   (no daemon, no image)
│   ├── SandboxLost           503 sandbox_lost
│   ├── SandboxOutOfMemory    503 out_of_memory
│   └── ProtocolMismatch      503 guest_protocol_mismatch
├── ControllerStopped         (in the middle of a run)
├── StorageFull               507 insufficient_storage
├── StorageUnavailable        503 storage_unavailable
├── NotImplementedYet         501 unimplemented
└── Internal                  500 internal
"""

from __future__ import annotations


class SandlotError(Exception):
    """Something went wrong inside Sandlot."""

    code = "internal"
    http_status = 500
    retryable = False
    retry_seconds = 2
    """After how long a retry may help, where one can."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or self.code).strip())

    @property
    def message(self) -> str:
        """The sentence for a person."""
        return str(self.args[0])


class InvalidRequest(SandlotError):
    """The request is not valid."""

    code = "invalid_request"
    http_status = 400


class AddressRefused(InvalidRequest):
    """Connections to such an address are not allowed."""

    code = "address_refused"


class PayloadTooLarge(InvalidRequest):
    """The request body is too large."""

    code = "request_too_large"
    http_status = 413


class UnsupportedMediaType(InvalidRequest):
    """The request body is of a kind that is not understood."""

    code = "unsupported_media_type"
    http_status = 415


class Unauthenticated(SandlotError):
    """The API key is missing or not valid."""

    code = "unauthenticated"
    http_status = 401


class PermissionDenied(SandlotError):
    """The caller may not do this."""

    code = "permission_denied"
    http_status = 403


class NotFound(SandlotError):
    """There is no such thing."""

    code = "not_found"
    http_status = 404


class Conflict(SandlotError):
    """The thing exists already, or is in a state that does not allow this."""

    code = "aborted"
    http_status = 409


class ResourceExhausted(SandlotError):
    """Too much is asked for at once; try again later."""

    code = "resource_exhausted"
    http_status = 429
    retryable = True


class QuotaExceeded(ResourceExhausted):
    """The project has as much as it may have."""

    def __init__(self, message: str | None = None, retry_seconds: int = 2) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds


class LimitExceeded(SandlotError):
    """A limit of this run was reached."""

    code = "limit_exceeded"


class Cancelled(SandlotError):
    """The run was cancelled."""

    code = "cancelled"
    http_status = 499


class ToolFault(SandlotError):
    """A tool could not do what it was asked to."""

    code = "tool_error"


class ToolServerFault(SandlotError):
    """A server whose tools a run was to have does not offer them."""

    code = "tool_server_failed"
    http_status = 502


class CredentialFault(SandlotError):
    """A stored credential cannot be used now."""

    code = "credential_failed"
    http_status = 502


class SourceFailed(SandlotError):
    """A source of a new environment could not be fetched."""

    code = "source_failed"
    http_status = 502


class ModelFault(SandlotError):
    """The model provider answered with an error."""

    code = "model_error"
    http_status = 502


class ModelNotConfigured(ModelFault):
    """No provider is configured for this model."""

    code = "model_not_configured"
    http_status = 400


class ModelRefused(ModelFault):
    """The model provider did not accept the request."""

    code = "model_rejected_request"
    http_status = 400


class ModelAuthFailed(ModelFault):
    """The model provider did not accept the configured key."""

    code = "model_auth_failed"


class ModelRateLimited(ModelFault):
    """The model provider limits the rate of requests."""

    code = "model_rate_limited"
    http_status = 429
    retryable = True


class ModelUnavailable(ModelFault):
    """The model provider cannot be reached or is overloaded."""

    code = "model_unavailable"
    http_status = 503
    retryable = True


class ContextExceeded(ModelFault):
    """The conversation does not fit into the model's context."""

    code = "context_length_exceeded"
    http_status = 400


class ResponseFormatMismatch(ModelFault):
    """The model's answer is not of the form that was asked for."""

    code = "response_format_mismatch"


class ToolChoiceIgnored(ModelFault):
    """The model called no tool although it had to."""

    code = "tool_choice_ignored"


class ScriptMismatch(ModelFault):
    """A tool's result is not what the script expects."""

    code = "script_mismatch"
    http_status = 400


class SandboxFault(SandlotError):
    """The sandbox failed."""

    code = "sandbox_failed"
    http_status = 503


class SandboxUnavailable(SandboxFault):
    """No sandbox can be started now."""

    code = "sandbox_unavailable"
    retryable = True


class SandboxLost(SandboxFault):
    """The sandbox went away in the middle of a run."""

    code = "sandbox_lost"


class SandboxOutOfMemory(SandboxFault):
    """The sandbox used up its memory."""

    code = "out_of_memory"


class ProtocolMismatch(SandboxFault):
    """The guest in the sandbox image speaks another protocol version than this controller."""

    code = "guest_protocol_mismatch"


class ControllerStopped(SandlotError):
    """The controller was stopped in the middle of the run."""

    code = "controller_stopped"
    http_status = 503
    retryable = True


class StorageFull(SandlotError):
    """The disk of the controller is full."""

    code = "insufficient_storage"
    http_status = 507
    retryable = True


class StorageUnavailable(SandlotError):
    """The database of the controller cannot be used now."""

    code = "storage_unavailable"
    http_status = 503
    retryable = True


class NotImplementedYet(SandlotError):
    """Sandlot does not implement that part of the API."""

    code = "unimplemented"
    http_status = 501


class Internal(SandlotError):
    """Sandlot made a mistake; its log says more."""
