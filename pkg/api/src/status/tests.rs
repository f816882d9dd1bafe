//! The sentences and details of every failure, against the texts recorded from a real server.

use serde_json::json;

use super::*;

#[test]
fn messages_and_codes() {
    let pods = Attempt { user: "u", verb: "list", resource: "pods", namespace: "default", ..Attempt::default() };
    let cases = [
        (Status::not_found("services", "x"), 404, "NotFound", "services \"x\" not found"),
        (Status::not_found("deployments.apps", "x"), 404, "NotFound", "deployments.apps \"x\" not found"),
        (Status::unknown_resource(), 404, "NotFound", "the server could not find the requested resource"),
        (Status::already_exists("services", "x"), 409, "AlreadyExists", "services \"x\" already exists"),
        (
            Status::conflict("services", "x"),
            409,
            "Conflict",
            "Operation cannot be fulfilled on services \"x\": the object has been modified; please apply your changes to the latest version and try again",
        ),
        (
            Status::conflict_uid_precondition("pods", "x", "a", "b"),
            409,
            "Conflict",
            "Operation cannot be fulfilled on pods \"x\": the UID in the precondition (a) does not match the UID in record (b). The object might have been deleted and then recreated",
        ),
        (Status::unauthorized(), 401, "Unauthorized", "Unauthorized"),
        (
            Status::forbidden(pods),
            403,
            "Forbidden",
            "pods is forbidden: User \"u\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"",
        ),
        (
            Status::forbidden(Attempt {
                group: "apps",
                resource: "deployments",
                subresource: "scale",
                verb: "get",
                name: "d",
                namespace: "",
                ..pods
            }),
            403,
            "Forbidden",
            "deployments.apps \"d\" is forbidden: User \"u\" cannot get resource \"deployments/scale\" in API group \"apps\" at the cluster scope",
        ),
        (
            Status::forbidden_path("system:anonymous", "get", "/"),
            403,
            "Forbidden",
            "forbidden: User \"system:anonymous\" cannot get path \"/\"",
        ),
        (
            Status::name_mismatch("a", "b"),
            400,
            "BadRequest",
            "the name of the object (a) does not match the name on the URL (b)",
        ),
        (
            Status::unknown_fields("Service", "v1", &["spec.foo".into()]),
            400,
            "BadRequest",
            "Service in version \"v1\" cannot be handled as a Service: strict decoding error: unknown field \"spec.foo\"",
        ),
        (
            Status::method_not_allowed(),
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        ),
        (
            Status::unsupported_media_type(&["a/b", "c/d"]),
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: a/b, c/d",
        ),
        (Status::too_large_resource_version(9, 3), 504, "Timeout", "Too large resource version: 9, current: 3"),
        (Status::too_old_resource_version(1, 9), 410, "Expired", "too old resource version: 1 (9)"),
        (Status::internal("x"), 500, "InternalError", "Internal error occurred: x"),
        (Status::unprocessable(), 422, "Invalid", "the server rejected our request due to an error in our request"),
    ];
    for (status, code, reason, message) in cases {
        assert_eq!((status.code, status.reason, status.message.as_str()), (code, reason, message));
    }
}

#[test]
fn details_name_the_plural_except_for_invalid() {
    assert_eq!(
        Status::not_found("deployments.apps", "x").details,
        json!({"name": "x", "group": "apps", "kind": "deployments"})
    );
    let errors = vec![
        FieldError::required("spec.a", ""),
        FieldError::required("spec.a", ""),
        FieldError::invalid("spec.b", 1, "no"),
    ];
    let status = Status::invalid("Deployment", "apps", "x", errors);
    assert_eq!(
        status.message,
        "Deployment.apps \"x\" is invalid: [spec.a: Required value, spec.b: Invalid value: 1: no]"
    );
    assert_eq!(status.details["kind"], "Deployment");
    assert_eq!(status.details["causes"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        status.details["causes"][2],
        json!({"reason": "FieldValueInvalid", "message": "Invalid value: 1: no", "field": "spec.b"})
    );
    assert_eq!(
        Status::invalid("Service", "", "x", vec![FieldError::required("a", "")]).message,
        "Service \"x\" is invalid: a: Required value"
    );
}

#[test]
fn a_deleted_object_is_a_success() {
    assert_eq!(
        Status::deleted("deployments.apps", "x", "u1").to_value(),
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
               "details": {"name": "x", "group": "apps", "kind": "deployments", "uid": "u1"}})
    );
    let value = Status::unauthorized().to_value();
    assert_eq!((&value["status"], &value["code"]), (&json!("Failure"), &json!(401)));
}

#[test]
fn terminating_namespaces_say_why() {
    let status = Status::namespace_terminating("pods", "p", "n");
    assert_eq!(
        status.message,
        "pods \"p\" is forbidden: unable to create new content in namespace n because it is being terminated"
    );
    assert_eq!(status.details["causes"][0]["reason"], "NamespaceTerminating");
}
