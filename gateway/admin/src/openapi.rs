//! The description of the API. `gateway/admin/openapi.json` is this document; a test compares them, and both with the
//! routes.

use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::openapi::{Components, OpenApi as Document};
use utoipa::{IntoResponses, Modify, OpenApi};

use crate::problem::ProblemBody;
use crate::routes::{account, alerts, live, machine};
use crate::signin::COOKIE;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Pitchside",
        description = "What people and programs may ask a gateway. Times are RFC 3339 in UTC; values are decimal text."
    ),
    paths(
        account::login, account::logout, account::me, live::live, live::events, live::blocks, alerts::list,
        alerts::acknowledge, alerts::reset, machine::health, machine::openapi, machine::metrics
    ),
    security(("sign_in" = [])),
    modifiers(&Cookie)
)]
struct Api;

struct Cookie;

impl Modify for Cookie {
    fn modify(&self, document: &mut Document) {
        let scheme = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
            COOKIE,
            "Set by POST /api/v1/login. Requests that change something also need an Origin header: the gateway's own.",
        )));
        document.components.get_or_insert_with(Components::new).add_security_scheme("sign_in", scheme);
    }
}

/// What any route may answer besides its own. Who must be signed in, and who need not, stands with each.
#[derive(IntoResponses)]
#[allow(dead_code)] // describes what `problem` answers
pub(crate) enum Refused {
    /// The request is malformed
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(#[to_schema] ProblemBody),
    /// Not in the asker's role, or sent by another page
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(#[to_schema] ProblemBody),
    /// The path exists, but not for the method asked with; Allow names those it has
    #[response(status = 405, content_type = "application/problem+json")]
    Method(#[to_schema] ProblemBody),
    /// The body did not arrive in time
    #[response(status = 408, content_type = "application/problem+json")]
    Slow(#[to_schema] ProblemBody),
    /// The body is larger than 16 KiB, or there is one where none belongs
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(#[to_schema] ProblemBody),
    /// Addressed to another host
    #[response(status = 421, content_type = "application/problem+json")]
    WrongHost(#[to_schema] ProblemBody),
    /// The headers are larger than 16 KiB, or more than 64; without a body, as is 400 where what came is no HTTP
    #[response(status = 431)]
    Headers,
    /// The gateway made a mistake
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(#[to_schema] ProblemBody),
    /// The gateway cannot answer right now
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(#[to_schema] ProblemBody),
}

/// The document.
pub fn document() -> Document {
    Api::openapi()
}

/// The document as committed: indented JSON with a line feed at the end.
pub fn text() -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(&document())? + "\n")
}
