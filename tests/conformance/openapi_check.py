"""Holds openapi.yaml and a running server to each other.

    openapi_check.py BASE_URL ADMINISTRATOR_TOKEN CONSUMER_TOKEN

The tenant must be new. Checked are:
 - limits: every operation that asks who sends it lists 429, which any of them may answer;
 - examples: each fits the schema that it stands beside;
 - attributes: User, Group, Client, View and the extensions in the file have those of schemas/*.json, no more and no less;
 - routes: every path of src/http/routes.rs is in the file and the other way round, with the methods that OPTIONS names;
 - answers: requests for every operation; each answer's status, headers and body are as the file says, and every status
   that the file lists is seen, but for those that no client can bring about (UNSEEN).
Ends with 'N passed, M failed' and exits with 1 if anything failed.
"""

import base64
import json
import re
import sys
import time
from pathlib import Path

import requests
import yaml
from jsonschema import Draft202012Validator

ROOT = Path(__file__).resolve().parents[2]
METHODS = {"get", "head", "post", "put", "patch", "delete", "options"}
# Made by the server's own trouble, by a client that is slow, or by one that asks too much; the slow one is in
# tests/vectors/hostile, the other in tests/suite/limits.rs.
UNSEEN = {"408", "429", "500", "503"}
# HTTP's own headers, which no description has to name.
PLAIN = {"content-type", "content-length", "transfer-encoding", "date", "connection", "vary", "content-encoding"}
SCIM = "application/scim+json"
# `body_limit` and `bulk_operations` as the server has them unless it is told otherwise.
BODY_LIMIT = 1 << 20
BULK_OPERATIONS = 1000
CORE = "urn:ietf:params:scim:schemas:core:2.0:"
MESSAGE = "urn:ietf:params:scim:api:messages:2.0:"
JSON_TYPES = {
    "string": {"type": "string"},
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer"},
    "decimal": {"type": "number"},
    "reference": {"type": "string", "format": "uri-reference"},
    "dateTime": {"type": "string", "format": "date-time"},
    "binary": {"type": "string", "contentEncoding": "base64"},
}

document = yaml.safe_load((ROOT / "openapi.yaml").read_text(encoding="utf-8"))
passed = 0
faults = []


def check(holds, fault):
    global passed
    if holds:
        passed += 1
    else:
        faults.append(fault)


def resolve(node):
    """What a `$ref` within the file points to."""
    while isinstance(node, dict) and "$ref" in node and node["$ref"].startswith("#/"):
        target = document
        for part in node["$ref"][2:].split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        node = target
    return node


def validator(schema):
    # The components come along, so that references within the schema lead somewhere.
    return Draft202012Validator({"components": document["components"], "allOf": [schema]})


def differences(schema, value):
    return "; ".join(f"{error.json_path}: {error.message[:300]}" for error in validator(schema).iter_errors(value))


def operations():
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield path, method, operation


def check_limits():
    for path, method, operation in operations():
        is_open = operation.get("security", document["security"]) == []
        if "401" in operation["responses"] or not is_open:
            too_many = operation["responses"].get("429", {})
            check(
                "Retry-After" in resolve(too_many).get("headers", {}),
                f"{method.upper()} {path}: 429 with Retry-After is not listed",
            )


def check_examples():
    def check_content(where, holder):
        for media, content in holder.get("content", {}).items():
            examples = content.get("examples", {})
            check(examples, f"{where}: {media} has no example")
            for name, example in examples.items():
                wrong = differences(content["schema"], resolve(example)["value"])
                check(not wrong, f"{where}: the example {name} does not fit: {wrong}")

    for path, method, operation in operations():
        where = f"{method.upper()} {path}"
        check_content(where, resolve(operation.get("requestBody", {})))
        for status, response in operation["responses"].items():
            check_content(f"{where} {status}", resolve(response))


def check_attributes():
    def compare(where, attributes, properties, required):
        names = {attribute["name"] for attribute in attributes}
        check(names == set(properties), f"{where}: differ in {sorted(names ^ set(properties))}")
        check(
            {attribute["name"] for attribute in attributes if attribute.get("required")} == set(required),
            f"{where}: required is {sorted(required)}",
        )
        for attribute in attributes:
            if attribute["name"] in properties:
                compare_one(f"{where}.{attribute['name']}", attribute, resolve(properties[attribute["name"]]))

    def compare_one(where, attribute, schema):
        for keyword, mutability in (("readOnly", "readOnly"), ("writeOnly", "writeOnly")):
            said = schema.get(keyword, False)
            check(said == (attribute.get("mutability") == mutability), f"{where}: {keyword} is {said}")
        if attribute["multiValued"]:
            check(schema.get("type") == "array", f"{where}: is no array")
            schema = resolve(schema.get("items", {}))
        if attribute["type"] == "complex":
            check(schema.get("type") == "object", f"{where}: is no object")
            compare(where, attribute["subAttributes"], schema.get("properties", {}), schema.get("required", []))
            return
        wanted = JSON_TYPES[attribute["type"]]
        said = {keyword: schema[keyword] for keyword in ("type", "format", "contentEncoding") if keyword in schema}
        check(said == wanted, f"{where}: is {said}, not {wanted}")

    schemas = document["components"]["schemas"]
    by_urn = {}
    for file in sorted((ROOT / "schemas").glob("*.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(content, dict):
            by_urn[content["id"]] = content
    for file in sorted((ROOT / "schemas" / "types").glob("*.json")):
        kind = json.loads(file.read_text(encoding="utf-8"))
        name = kind["name"]
        check(name in schemas, f"{name} is not among the schemas")
        if name not in schemas:
            continue
        common = {"schemas", "id", "externalId", "meta"}
        properties = dict(schemas[name]["properties"])
        # What nobody writes has no form in which it is written, and no name that a client gives it.
        is_written = f"{name}Written" in schemas
        wanted = common if is_written else common - {"externalId"}
        check(wanted <= set(properties), f"{name} lacks one of {sorted(wanted)}")
        for extension in kind["schemaExtensions"]:
            there = resolve(properties.pop(extension["schema"], {}))
            attributes = by_urn[extension["schema"]]["attributes"]
            compare(extension["schema"], attributes, there.get("properties", {}), there.get("required", []))
        properties = {key: value for key, value in properties.items() if key not in common}
        required = set(schemas[f"{name}Written"]["required"] if is_written else []) - {"schemas"}
        compare(name, by_urn[kind["schema"]]["attributes"], properties, required)


class Server:
    """Sends requests and holds each answer to the file."""

    def __init__(self, base_url, token, consumer, licensed, stranger):
        self.origin = base_url.removesuffix("/scim/v2")
        self.token, self.consumer = token, consumer
        self.licensed, self.stranger = licensed, stranger
        self.session = requests.Session()
        self.session.trust_env = False
        self.seen = {}

    def send(self, method, path, status, at=None, token=None, body=None, **rest):
        """One request; `at` is the path in the file when it differs."""
        headers = {"Authorization": f"Bearer {token or self.token}", "Accept": SCIM} | rest.pop("headers", {})
        if body is not None:
            headers = {"Content-Type": SCIM} | headers
            rest["data"] = body if isinstance(body, (str, bytes)) else json.dumps(body).encode()
        answer = self.session.request(
            method, self.origin + path, headers=headers, allow_redirects=False, timeout=60, **rest
        )
        where = f"{method} {at or path} {answer.status_code}"
        check(answer.status_code == status, f"{where}: expected {status}: {answer.text[:300]}")
        operation = document["paths"].get(at or path, {}).get(method.lower())
        check(operation is not None, f"{where}: the operation is not in the file")
        if operation is not None:
            self.check_answer(where, operation, answer)
            self.seen.setdefault((at or path, method.lower()), set()).add(str(answer.status_code))
        return answer

    def check_answer(self, where, operation, answer):
        response = resolve(operation["responses"].get(str(answer.status_code), {}))
        check(response, f"{where}: the file does not list the status")
        listed = {name.lower(): resolve(header) for name, header in response.get("headers", {}).items()}
        for name, header in listed.items():
            value = answer.headers.get(name)
            check(value is not None or not header.get("required"), f"{where}: the header {name} is missing")
            if value is not None:
                typed = int(value) if header["schema"].get("type") == "integer" and value.isdigit() else value
                wrong = differences(header["schema"], typed)
                check(not wrong, f"{where}: the header {name} does not fit: {wrong}")
        stray = {name.lower() for name in answer.headers} - set(listed) - PLAIN
        check(not stray, f"{where}: the file does not list the headers {sorted(stray)}")
        content = response.get("content", {})
        if not content or answer.request.method == "HEAD":
            check(not answer.content, f"{where}: the file lists no body, but there is {answer.text[:200]}")
            return
        media = answer.headers.get("Content-Type", "none")
        check(media in content, f"{where}: the media type is {media}")
        if media in content:
            wrong = differences(content[media]["schema"], answer.json())
            check(not wrong, f"{where}: the body does not fit: {wrong}: {answer.text[:500]}")


def check_routes(server):
    source = (ROOT / "src/http/routes.rs").read_text(encoding="utf-8")
    patterns = re.findall(r'(?:path|resource)\(\s*"(/[^"]*)"', source)
    check(len(patterns) > 10, "routes.rs cannot be read any more")
    endpoints = [
        kind["endpoint"].strip("/")
        for kind in server.send("GET", "/scim/v2/ResourceTypes", 200).json()["Resources"]
    ]
    # The list of resource types passes over them; over memberships unless the operator says otherwise.
    endpoints += ["GroupMemberships", "Clients", "Views", "Policies", "Rules", "Simulations", "Issuers", "Feeds", "Runs"]
    endpoints += ["AuditEvents", "WorkItems", "Authorities"]
    patterns = [re.sub(r"\{endpoint:(\w+)\}", r"\1", pattern) for pattern in patterns]
    served = {}
    for pattern in patterns:
        paths = [pattern.replace("{endpoint}", name) for name in endpoints] if "{endpoint}" in pattern else [pattern]
        for path in paths:
            answer = server.session.options(server.origin + re.sub(r"\{\w+\}", "1", path), timeout=60)
            allowed = answer.headers.get("Allow", "").lower().split(", ")
            served.setdefault(path, set()).update(allowed)
    described = {path: {method for method in item if method in METHODS} for path, item in document["paths"].items()}
    for path in sorted(set(served) | set(described)):
        there, said = served.get(path, set()), described.get(path, set())
        check(there == said, f"{path}: the server has {sorted(there)}, the file {sorted(said)}")
    check(server.session.get(server.origin + "/scim/v2/Nothing", timeout=60).status_code == 401, "401 before 404")


def check_documents(server):
    """A schema and a resource type of the tenant's own come, change and go."""
    urn = "urn:example:scim:schemas:1.0:Badge"
    attributes = [{"name": "colour", "description": "Its colour."}]
    schema = {"id": urn, "name": "Badge", "description": "A badge.", "attributes": attributes}
    kind = {"name": "Badge", "endpoint": "/Badges", "description": "Badges.", "schema": urn}
    stale = {"headers": {"If-Match": 'W/"999"'}}
    made = []
    for path, hole, name, body in (("Schemas", "{urn}", urn, schema), ("ResourceTypes", "{name}", "Badge", kind)):
        many, one = f"/scim/v2/{path}", f"/scim/v2/{path}/{name}"
        at = f"/scim/v2/{path}/{hole}"
        server.send("POST", many, 201, body=body)
        server.send("POST", many, 409, body=body)
        server.send("POST", many, 405)
        server.send("POST", many, 400, body={"name": 1})
        server.send("POST", many, 403, body=body, token=server.consumer)
        server.send("PUT", one, 200, at=at, body=body)
        server.send("PUT", one, 400, at=at, body=body | {"schemas": 1})
        server.send("PUT", one, 403, at=at, body=body, token=server.consumer)
        server.send("PUT", one, 412, at=at, body=body, **stale)
        server.send("PUT", many + "/urn:nothing", 404, at=at, body=body)
        server.send("DELETE", many + "/urn:nothing", 404, at=at)
        server.send("DELETE", one, 403, at=at, token=server.consumer)
        server.send("DELETE", one, 412, at=at, **stale)
        server.send("DELETE", one, 400, at=at, headers={"If-Match": "x"})
        check_refusals(server, [("POST", many, many, body), ("PUT", one, at, body), ("DELETE", one, at, None)])
        for method in ("GET", "HEAD"):
            etag = server.send(method, one, 200, at=at).headers["ETag"]
            server.send(method, one, 304, at=at, headers={"If-None-Match": etag})
        made.append((one, at))
    check_amendments(server, *made[1])
    # The file cannot describe a type that a tenant adds, so these are sent past it.
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": SCIM}
    badges = [
        server.session.post(
            server.origin + "/scim/v2/Badges", json={"schemas": [urn], "colour": "red"}, headers=headers, timeout=60
        ).json()
        for _ in range(2)
    ]
    unique = schema | {"attributes": [{"name": "colour", "uniqueness": "server"}]}
    server.send("PUT", made[0][0], 409, at=made[0][1], body=unique)
    server.send("DELETE", made[0][0], 409, at=made[0][1])
    server.send("DELETE", made[1][0], 409, at=made[1][1])
    for badge in badges:
        server.session.delete(f"{server.origin}/scim/v2/Badges/{badge['id']}", headers=headers, timeout=60)
    for one, at in reversed(made):
        server.send("DELETE", one, 204, at=at)


def check_amendments(server, own, at):
    """A resource type is changed by operations, and one of the server's own is given an extension that goes again."""
    user = own.rsplit("/", 1)[0] + "/User"
    patch = PATCH | {"Operations": [{"op": "replace", "path": "description", "value": "All badges."}]}
    server.send("PATCH", own, 200, at=at, body=patch)
    server.send("PATCH", own, 400, at=at, body=PATCH | {"Operations": [{"op": "remove", "path": "nothing"}]})
    server.send("PATCH", own, 403, at=at, body=patch, token=server.consumer)
    server.send("PATCH", own + "Nothing", 404, at=at, body=patch)
    server.send("PATCH", own, 412, at=at, body=patch, headers={"If-Match": 'W/"999"'})
    check_refusals(server, [("PATCH", own, at, patch)])
    extension = "urn:example:scim:schemas:1.0:Key"
    server.send("POST", "/scim/v2/Schemas", 201, body={"id": extension, "attributes": [{"name": "number"}]})
    value = [{"schema": extension, "required": False}]
    server.send("PATCH", user, 200, at=at, body=PATCH | {"Operations": [{"op": "add", "path": "schemaExtensions", "value": value}]})
    gone = {"op": "remove", "path": f'schemaExtensions[schema eq "{extension}"]'}
    server.send("PATCH", user, 200, at=at, body=PATCH | {"Operations": [gone]})
    removed = f"/scim/v2/Schemas/{extension}"
    server.send("DELETE", removed, 204, at="/scim/v2/Schemas/{urn}")


PATCH = {"schemas": [MESSAGE + "PatchOp"]}
SEARCH = {"schemas": [MESSAGE + "SearchRequest"]}
# For administrators alone.
GUARDED = ("Clients", "Views", "Policies", "Authorities", "Rules", "Simulations", "Issuers", "Feeds")


def check_kind(server, endpoint, name, bodies, change, unique):
    """Every operation of one resource type; `bodies` are two resources that differ in `unique`, if anything is."""
    path, one_path = f"/scim/v2/{endpoint}", f"/scim/v2/{endpoint}/{{id}}"

    def on_one(method, status, where, **rest):
        return server.send(method, where, status, at=one_path, **rest)

    first = server.send("POST", path, 201, body=bodies[0]).json()
    one = f"{path}/{first['id']}"
    second = server.send("POST", path, 201, body=bodies[1] | {"unknown": True}, params={"attributes": "id"}).json()
    other = f"{path}/{second['id']}"
    missing = f"{path}/01913a52-0000-7000-8000-000000000000"
    if endpoint == "Simulations":
        for where in (one, other):
            wait_for_simulation(server, where)
    etag = on_one("GET", 200, one).headers["ETag"]
    on_one("GET", 304, one, headers={"If-None-Match": etag})
    on_one("HEAD", 304, one, headers={"If-None-Match": etag})
    patch = PATCH | {"Operations": [change]}
    on_one("PATCH", 200, one, body=patch, params={"attributes": "id,meta"})
    if endpoint == "Groups":
        on_one("PATCH", 204, one, body=patch)
    else:
        on_one("PATCH", 200, one, body=patch)
    on_one("PUT", 200, one, body=bodies[0], headers={"If-Match": "*"})
    if unique is not None:
        taken = {"op": "replace", "path": unique, "value": bodies[0][unique]}
        server.send("POST", path, 409, body=bodies[0])
        on_one("PUT", 409, other, body=bodies[0])
        on_one("PATCH", 409, other, body=PATCH | {"Operations": [taken]})
    for method, body in (("PUT", bodies[0]), ("PATCH", patch), ("DELETE", None)):
        on_one(method, 412, one, body=body, headers={"If-Match": 'W/"999.0"'})
        on_one(method, 404, missing, body=body)
        on_one(method, 400, one, body=body, headers={"If-Match": "unquoted"})
        on_one(method, 403, one, body=body, token=server.consumer)
    searches = [("GET", path, None), ("HEAD", path, None), ("POST", path + "/.search", SEARCH)]
    for method, where, body in searches:
        server.send(method, where, 200, body=body)
        filters = {"filter": "nothing is"}
        if body is None:
            server.send(method, where, 400, params=filters)
        else:
            server.send(method, where, 400, body=body | filters)
    page = server.send("GET", path, 200, params={"cursor": "", "count": 1}).json()
    server.send("GET", path, 200, params={"cursor": page["nextCursor"], "count": 1})
    server.send("GET", path, 400, params={"cursor": "none", "count": 1})
    server.send("POST", path, 400, body={"schemas": []})
    server.send("POST", path, 403, body=bodies[0], token=server.consumer)
    for method in ("GET", "HEAD"):
        on_one(method, 200, one)
        on_one(method, 404, missing)
        on_one(method, 400, one, params={"attributes": "id", "excludedAttributes": "meta"})
        if endpoint in GUARDED:
            on_one(method, 403, one, token=server.consumer)
    forbidden = {"token": server.consumer} if endpoint in GUARDED else {}
    asked = {} if forbidden else {"filter": "password pr"}
    if endpoint != "Groups":
        server.send("GET", path, 403, params=asked, **forbidden)
        server.send("HEAD", path, 403, params=asked, **forbidden)
        server.send("POST", path + "/.search", 403, body=SEARCH | asked, **forbidden)
    check_refusals(server, [(method, one, one_path, None) for method in ("GET", "HEAD", "DELETE")])
    check_refusals(server, [("PUT", one, one_path, bodies[0]), ("PATCH", one, one_path, patch)])
    check_refusals(server, [("POST", path, path, bodies[0])] + [(m, w, w, b) for m, w, b in searches])
    for where, at in ((path, path), (path + "/.search", path + "/.search"), (one, one_path)):
        server.send("OPTIONS", where, 204, at=at)
    for method in ("PUT", "PATCH"):
        on_one(method, 400, one, body="{")
    on_one("DELETE", 204, other)
    check(name == first["meta"]["resourceType"], f"{path} makes {first['meta']}")


def check_view(server, view):
    """What the clients of a view see, and that a view which one uses stays."""
    made = server.send("POST", "/scim/v2/Views", 201, body=view).json()["id"]
    one, at = f"/scim/v2/Views/{made}/preview", "/scim/v2/Views/{id}/preview"
    for method in ("GET", "HEAD"):
        server.send(method, one, 200, at=at, params={"count": 2})
        server.send(method, one, 400, at=at, params={"count": "many"})
        server.send(method, one, 403, at=at, token=server.consumer)
        server.send(method, "/scim/v2/Views/nothing/preview", 404, at=at)
        check_refusals(server, [(method, one, at, None)])
    server.send("OPTIONS", one, 204, at=at)
    client = {"schemas": ["urn:matrikel:scim:schemas:1.0:Client"], "role": "consumer", "name": "seer", "view": made}
    user = server.send("POST", "/scim/v2/Clients", 201, body=client).json()["id"]
    server.send("DELETE", f"/scim/v2/Views/{made}", 409, at="/scim/v2/Views/{id}")
    server.send("DELETE", f"/scim/v2/Clients/{user}", 204, at="/scim/v2/Clients/{id}")
    server.send("DELETE", f"/scim/v2/Views/{made}", 204, at="/scim/v2/Views/{id}")


def check_why(server):
    """Because of what somebody has what, and who may ask."""
    user = {"schemas": [CORE + "User"], "userName": "why@kommun.example"}
    user = server.send("POST", "/scim/v2/Users", 201, body=user).json()["id"]
    one, at = f"/scim/v2/Users/{user}/why", "/scim/v2/Users/{id}/why"
    for method in ("GET", "HEAD"):
        server.send(method, one, 200, at=at)
        server.send(method, one, 400, at=at, params={"target": "nothing of that name"})
        server.send(method, one, 400, at=at, params={"at": "2099-01-01T00:00:00Z"})
        server.send(method, one, 400, at=at, params={"at": "tomorrow"})
        server.send(method, one, 403, at=at, token=server.consumer)
        server.send(method, "/scim/v2/Users/nothing/why", 404, at=at)
        check_refusals(server, [(method, one, at, None)])
    server.send("OPTIONS", one, 204, at=at)
    server.send("DELETE", f"/scim/v2/Users/{user}", 204, at="/scim/v2/Users/{id}")


def check_issuers(server):
    me = server.send("GET", "/scim/v2/Me", 200).json()["id"]
    issuer = {
        "schemas": ["urn:matrikel:scim:schemas:1.0:Issuer"],
        "issuer": "https://login.kommun.example",
        "rules": [{"claim": "azp", "value": "personnel", "client": me}],
    }
    issuers = [issuer | {"name": name, "audiences": ["urn:" + name]} for name in ("login", "entra")]
    change = {"op": "replace", "path": "leewaySeconds", "value": 10}
    check_kind(server, "Issuers", "Issuer", issuers, change, "name")


def check_feeds(server):
    """Feeds, the files that are sent to them, and the runs that these become."""
    me = server.send("GET", "/scim/v2/Me", 200).json()["id"]
    text = 'source = "staff"\n[snapshot]\nmode = "full"\n[[resource]]\nkind = "User"\nkey = "Nr"\n'
    feed = {"schemas": ["urn:matrikel:scim:schemas:1.0:Feed"], "client": {"value": me}}
    feed["map"] = text + '[resource.columns]\nuserName = "Nr"\n'
    change = {"op": "replace", "path": "description", "value": "Every night."}
    check_kind(server, "Feeds", "Feed", [feed | {"name": name} for name in ("staff", "pupils")], change, "name")
    made = server.send("POST", "/scim/v2/Feeds", 201, body=feed | {"name": "sent"}).json()["id"]
    one, at, csv = f"/scim/v2/Feeds/{made}", "/scim/v2/Feeds/{id}", {"headers": {"Content-Type": "text/csv"}}

    def sent(status, body="Nr\n", params=None, path=one, **rest):
        return server.send("POST", path, status, at=at, body=body, params=params, **(csv | rest))

    def held(answer):
        run = answer.headers["Location"].split("/scim/v2/")[1]
        for _ in range(200):
            state = server.send("GET", f"/scim/v2/{run}", 200, at="/scim/v2/Runs/{id}").json()["state"]
            if state not in ("waiting", "running"):
                return f"/scim/v2/{run}", state
            time.sleep(0.05)
        return f"/scim/v2/{run}", "none"

    run, state = held(sent(202))
    check(state == "held", f"an empty snapshot is {state}")
    applied = held(sent(202, "Nr\n7001\nä\n\u00c3\u00a4\n".encode(), {"extracted": "2026-08-10T00:00:00Z", "mode": "delta"}))
    check(applied[1] in ("applied", "held"), f"a file is {applied}")
    check(held(sent(202, "Nr\n7001\n", {"extracted": "2026-08-11T00:00:00Z", "mode": "delta"}))[1] == "applied", "a file")
    sent(409, "Nr\n7002\n", {"extracted": "2026-08-01T00:00:00Z", "mode": "delta"})
    sent(400, "Name\n")
    sent(401, token="mk_wrong")
    sent(403, token=server.consumer)
    sent(404, path="/scim/v2/Feeds/nothing")
    sent(415, headers={"Content-Type": "text/plain"})
    sent(413, b"Nr\n" + b" " * BODY_LIMIT)
    at = "/scim/v2/Runs/{id}"
    patch = PATCH | {"Operations": [{"op": "replace", "path": "decision", "value": "reject"}]}
    missing = "/scim/v2/Runs/01913a52-0000-7000-8000-000000000000"
    etag = server.send("GET", run, 200, at=at).headers["ETag"]
    for method in ("GET", "HEAD"):
        server.send(method, run, 304, at=at, headers={"If-None-Match": etag})
        server.send(method, run, 400, at=at, params={"attributes": "id", "excludedAttributes": "meta"})
        server.send(method, run, 403, at=at, token=server.consumer)
        server.send(method, missing, 404, at=at)
        items, where = run + "/items", at + "/items"
        server.send(method, items, 200, at=where, params={"list": "warning"})
        server.send(method, items, 400, at=where, params={"list": "all"})
        server.send(method, items, 403, at=where, token=server.consumer)
        server.send(method, missing + "/items", 404, at=where)
        check_refusals(server, [(method, run, at, None), (method, items, where, None)])
    for method, body in (("PATCH", patch), ("DELETE", None)):
        server.send(method, run, 412, at=at, body=body, headers={"If-Match": 'W/"999.0"'})
        server.send(method, missing, 404, at=at, body=body)
        server.send(method, run, 400, at=at, body=body, headers={"If-Match": "unquoted"})
        server.send(method, run, 403, at=at, body=body, token=server.consumer)
        check_refusals(server, [(method, run, at, body)])
    check_work_items(server)
    check_report(server)
    check_rights(server)
    check_licences(server)
    undo = {"schemas": ["urn:matrikel:scim:schemas:1.0:Simulation"], "name": "back", "undo": {"value": run.split("/")[-1]}}
    server.send("POST", "/scim/v2/Simulations", 409, body=undo)
    server.send("PATCH", run, 200, at=at, body=patch)
    server.send("PATCH", run, 409, at=at, body=PATCH | {"Operations": [change | {"path": "remark"}]})
    server.send("OPTIONS", run, 204, at=at)
    server.send("OPTIONS", run + "/items", 204, at=at + "/items")
    server.send("DELETE", run, 204, at=at)
    many = "/scim/v2/Runs"
    for method, where, body in (("GET", many, None), ("HEAD", many, None), ("POST", many + "/.search", SEARCH)):
        server.send(method, where, 200, body=body)
        wrong = {"filter": "nothing is"}
        server.send(method, where, 400, **({"params": wrong} if body is None else {"body": body | wrong}))
        server.send(method, where, 403, body=body, token=server.consumer)
        check_refusals(server, [(method, where, where, body)])


def check_report(server):
    """What became of people on a day, and a day that is none."""
    one, at = "/scim/v2/Reports/2026-08-11", "/scim/v2/Reports/{day}"
    for method in ("GET", "HEAD"):
        server.send(method, one, 200, at=at)
        server.send(method, "/scim/v2/Reports/yesterday", 400, at=at)
        server.send(method, one, 403, at=at, token=server.consumer)
        check_refusals(server, [(method, one, at, None)])
    server.send("OPTIONS", one, 204, at=at)


def check_rights(server):
    """Rights without a ground, and a question that is none."""
    path = "/scim/v2/Reports/rights"
    for method in ("GET", "HEAD"):
        server.send(method, path, 200, params={"kind": "hand", "count": 1})
        server.send(method, path, 400, params={"kind": "x"})
        server.send(method, path, 403, token=server.consumer)
        check_refusals(server, [(method, path, path, None)])
    server.send("OPTIONS", path, 204)


def check_licences(server):
    """What licences have saved, in a register that has them and in one that has not."""
    path = "/scim/v2/Entitlements/report"
    for method in ("GET", "HEAD"):
        server.send(method, path, 200, token=server.licensed)
        server.send(method, path, 400, token=server.licensed, params={"from": "2026-13-01"})
        server.send(method, path, 403, token=server.stranger)
        server.send(method, path, 404)
        check_refusals(server, [(method, path, path, None)])


def check_work_items(server):
    """What a person has to decide: a run is held, and somebody says that it is seen to."""
    many, at = "/scim/v2/WorkItems", "/scim/v2/WorkItems/{id}"
    found = server.send("GET", many, 200, params={"filter": 'kind eq "heldRun" and state eq "open"'}).json()
    check(found["totalResults"] == 1, f"{found['totalResults']} held runs are to be decided on")
    one = f"{many}/{found['Resources'][0]['id']}"
    missing = many + "/01913a52-0000-7000-8000-000000000000"
    patch = PATCH | {"Operations": [{"op": "replace", "path": "state", "value": "dismissed"}]}
    etag = server.send("GET", one, 200, at=at).headers["ETag"]
    for method in ("GET", "HEAD"):
        server.send(method, one, 304, at=at, headers={"If-None-Match": etag})
        server.send(method, one, 400, at=at, params={"attributes": "id", "excludedAttributes": "meta"})
        server.send(method, one, 403, at=at, token=server.consumer)
        server.send(method, missing, 404, at=at)
        check_refusals(server, [(method, one, at, None)])
    for method, body in (("PATCH", patch), ("DELETE", None)):
        server.send(method, one, 412, at=at, body=body, headers={"If-Match": 'W/"999.0"'})
        server.send(method, missing, 404, at=at, body=body)
        server.send(method, one, 400, at=at, body=body, headers={"If-Match": "unquoted"})
        server.send(method, one, 403, at=at, body=body, token=server.consumer)
        check_refusals(server, [(method, one, at, body)])
    server.send("DELETE", one, 409, at=at)
    server.send("PATCH", one, 200, at=at, body=patch)
    server.send("OPTIONS", one, 204, at=at)
    server.send("DELETE", one, 204, at=at)
    for method, where, body in (("GET", many, None), ("HEAD", many, None), ("POST", many + "/.search", SEARCH)):
        server.send(method, where, 200, body=body)
        wrong = {"filter": "nothing is"}
        server.send(method, where, 400, **({"params": wrong} if body is None else {"body": body | wrong}))
        server.send(method, where, 403, body=body, token=server.consumer)
        check_refusals(server, [(method, where, where, body)])


def check_tokens(server):
    """The token endpoint, and what everybody may read of it."""
    path, form = "/oauth/token", {"Content-Type": "application/x-www-form-urlencoded"}
    asked = "grant_type=client_credentials"
    me = server.send("GET", "/scim/v2/Me", 200).json()["id"]
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": SCIM}
    of_me = f"{server.origin}/scim/v2/Clients/{me}/credentials"
    secret = server.session.post(of_me, json={"kind": "secret"}, headers=headers, timeout=60).json()
    basic = base64.b64encode(f"{secret['clientId']}:{secret['secret']}".encode()).decode()
    known = {"headers": form | {"Authorization": f"Basic {basic}"}}
    server.send("POST", path, 200, body=asked, **known)
    server.send("POST", path, 400, body=asked + "&scope=nothing", **known)
    server.send("POST", path, 401, body=asked, headers=form)
    server.send("POST", path, 401, body=asked + "&client_id=x&client_secret=y", headers=form | {"Authorization": None})
    server.send("POST", path, 400, body={}, headers={"Authorization": None})
    server.send("POST", path, 413, body=b"a=" + b"b" * (1 << 15), headers=form)
    for path in ("/oauth/jwks", "/.well-known/oauth-authorization-server"):
        for method in ("GET", "HEAD"):
            server.send(method, path, 200, headers={"Authorization": None, "Accept": "*/*"})
    for method in ("GET", "HEAD"):
        server.send(method, path, 400, headers={"Host": "a b"})


def check_credentials(server):
    """A client is given credentials, and one is taken away."""
    body = {"schemas": ["urn:matrikel:scim:schemas:1.0:Client"], "role": "source", "name": "nightly"}
    client = server.send("POST", "/scim/v2/Clients", 201, body=body).json()["id"]
    at = "/scim/v2/Clients/{id}/credentials"
    where, one = f"/scim/v2/Clients/{client}/credentials", at + "/{credential}"
    key = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    made = server.send("POST", where, 201, at=at, body={"kind": "token", "label": "first"}).json()
    for _, status in ((1, 201), (2, 409)):
        server.send("POST", where, status, at=at, body={"kind": "key", "jwk": key})
    server.send("POST", where, 400, at=at, body={"kind": "password"})
    server.send("POST", where, 403, at=at, body={"kind": "token"}, token=server.consumer)
    missing = "/scim/v2/Clients/01913a52-0000-7000-8000-000000000000/credentials"
    server.send("POST", missing, 404, at=at, body={"kind": "token"})
    check_refusals(server, [("POST", where, at, {"kind": "token"})])
    gone = f"{where}/{made['value']}"
    server.send("DELETE", gone, 403, at=one, token=server.consumer)
    check_refusals(server, [("DELETE", gone, one, None)])
    server.send("DELETE", gone, 204, at=one)
    server.send("DELETE", f"{where}/{client}", 404, at=one)
    for path, file in ((where, at), (gone, one)):
        server.send("OPTIONS", path, 204, at=file)


def check_memberships(server):
    """Every operation on memberships, of a group and a user made for it."""
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": SCIM}

    def made(endpoint, body):
        url = f"{server.origin}/scim/v2/{endpoint}"
        return server.session.post(url, json=body, headers=headers, timeout=60).json()["id"]

    group = made("Groups", {"schemas": [CORE + "Group"], "displayName": "Hemtjänsten söder"})
    users = [made("Users", {"schemas": [CORE + "User"], "userName": f"member{n}@kommun.example"}) for n in range(2)]
    bodies = [
        {"schemas": [CORE + "GroupMembership"], "group": {"value": group}, "member": {"value": user}} for user in users
    ]
    path, one_path = "/scim/v2/GroupMemberships", "/scim/v2/GroupMemberships/{id}"

    def on_one(method, status, where, **rest):
        return server.send(method, where, status, at=one_path, **rest)

    first = server.send("POST", path, 201, body=bodies[0]).json()
    server.send("POST", path, 201, body=bodies[1] | {"unknown": True}, params={"attributes": "id"})
    one, missing = f"{path}/{first['id']}", f"{path}/{'0' * 64}"
    etag = on_one("GET", 200, one).headers["ETag"]
    on_one("GET", 304, one, headers={"If-None-Match": etag})
    on_one("HEAD", 304, one, headers={"If-None-Match": etag})
    server.send("POST", path, 409, body=bodies[0])
    server.send("POST", path, 400, body=bodies[0] | {"member": {"value": "nobody"}})
    server.send("POST", path, 403, body=bodies[0], token=server.consumer)
    of_group = f'group.value eq "{group}"'
    searches = [("GET", path, None), ("HEAD", path, None), ("POST", path + "/.search", SEARCH)]
    for method, where, body in searches:
        server.send(method, where, 200, body=body and body | {"filter": of_group}, params={"filter": of_group})
        wrong = {"filter": "nothing is"}
        server.send(method, where, 400, **({"params": wrong} if body is None else {"body": body | wrong}))
    page = server.send("GET", path, 200, params={"cursor": "", "count": 1, "filter": of_group}).json()
    check(page["totalResults"] == 2, f"{path}: {page['totalResults']} memberships")
    server.send("GET", path, 200, params={"cursor": page["nextCursor"], "count": 1, "filter": of_group})
    server.send("GET", path, 400, params={"cursor": page["nextCursor"], "count": 1})
    for method in ("GET", "HEAD"):
        on_one(method, 404, missing)
        on_one(method, 400, one, params={"attributes": "id", "excludedAttributes": "meta"})
    on_one("DELETE", 412, one, headers={"If-Match": 'W/"999999.0"'})
    on_one("DELETE", 404, missing)
    on_one("DELETE", 400, one, headers={"If-Match": "unquoted"})
    on_one("DELETE", 403, one, token=server.consumer)
    check_refusals(server, [(method, one, one_path, None) for method in ("GET", "HEAD", "DELETE")])
    check_refusals(server, [("POST", path, path, bodies[0])] + [(m, w, w, b) for m, w, b in searches])
    server.send("OPTIONS", one, 204, at=one_path)
    on_one("DELETE", 204, one)


def check_audit(server):
    """Events are read by administrators and written by nobody."""
    path, one_path = "/scim/v2/AuditEvents", "/scim/v2/AuditEvents/{id}"
    searches = [("GET", path, None), ("HEAD", path, None), ("POST", path + "/.search", SEARCH)]
    for method, where, body in searches:
        writes = 'kind eq "write"'
        server.send(method, where, 200, body=body and body | {"filter": writes}, params={"filter": writes})
        wrong = {"filter": "nothing is"}
        server.send(method, where, 400, **({"params": wrong} if body is None else {"body": body | wrong}))
        server.send(method, where, 403, body=body, token=server.consumer)
    page = server.send("GET", path, 200, params={"cursor": "", "count": 1}).json()
    server.send("GET", path, 200, params={"cursor": page["nextCursor"], "count": 1})
    server.send("GET", path, 400, params={"cursor": page["nextCursor"], "count": 2})
    one = f"{path}/{page['Resources'][0]['id']}"
    etag = server.send("GET", one, 200, at=one_path).headers["ETag"]
    for method in ("GET", "HEAD"):
        server.send(method, one, 304, at=one_path, headers={"If-None-Match": etag})
        server.send(method, path + "/nothing", 404, at=one_path)
        server.send(method, one, 400, at=one_path, params={"attributes": "id", "excludedAttributes": "meta"})
        server.send(method, one, 403, at=one_path, token=server.consumer)
    check_refusals(server, [(method, one, one_path, None) for method in ("GET", "HEAD")])
    check_refusals(server, [(m, w, w, b) for m, w, b in searches])
    server.send("OPTIONS", one, 204, at=one_path)


def check_bulk(server):
    path = "/scim/v2/Bulk"
    example = resolve(document["components"]["examples"]["BulkRequest"])["value"]
    wrong = {"method": "DELETE", "path": "/Users/nobody"}
    answer = server.send("POST", path, 200, body=example | {"Operations": example["Operations"] + [wrong]}).json()
    statuses = [operation["status"] for operation in answer["Operations"]]
    check(statuses == ["201", "201", "404"], f"{path}: the operations ended as {statuses}")
    server.send("POST", path, 400, body=example | {"Operations": []})
    server.send("POST", path, 403, body=example, token=server.consumer)
    many = [wrong] * (BULK_OPERATIONS + 1)
    server.send("POST", path, 413, body=example | {"Operations": many})
    check_refusals(server, [("POST", path, path, example)], too_large=False)
    check_deferred(server, path)


def check_deferred(server, path):
    """A bulk request that is answered first; the server lets two of a client wait."""

    def send(name, count, status):
        user = {"schemas": [CORE + "User"], "password": "Vinter-och-sommar-2026"}
        users = [user | {"userName": f"{name}{n}"} for n in range(count)]
        posts = [{"method": "POST", "path": "/Users", "bulkId": str(n), "data": user} for n, user in enumerate(users)]
        body = {"schemas": [MESSAGE + "BulkRequest"], "Operations": posts}
        headers = {"Prefer": "respond-async"}
        return server.send("POST", path, status, body=body, headers=headers).headers.get("Set-Txn")

    # A password takes a processor tens of milliseconds.
    waiting = [send("first", 60, 202), send("second", 1, 202)]
    send("third", 1, 429)
    one, at = f"{path}/{waiting[-1]}", path + "/{id}"
    server.send("OPTIONS", one, 204, at=at)
    for method in ("HEAD", "GET"):
        server.send(method, one, 202, at=at)
        server.send(method, f"{path}/nothing", 404, at=at)
        server.send(method, one, 404, at=at, token=server.consumer)
        server.send(method, one, 400, at=at, headers={"Host": "a b"})
        check_refusals(server, [(method, one, at, None)])
    headers = {"Authorization": f"Bearer {server.token}"}
    for _ in range(600):
        if server.session.get(server.origin + one, headers=headers, timeout=60).status_code != 202:
            break
        time.sleep(0.1)
    for method in ("HEAD", "GET"):
        server.send(method, one, 200, at=at)


def check_refusals(server, requests_, too_large=True):
    """What every operation refuses alike: no token, an Accept that excludes SCIM, a body that is none or too large."""
    for method, where, at, body in requests_:
        if "422" in document["paths"][at][method.lower()]["responses"]:
            server.send(method, where, 422, at=at, body=body, headers={"Idempotency-Key": "spent"})
        server.send(method, where, 401, at=at, body=body, token="mk_wrong")
        server.send(method, where, 406, at=at, body=body, headers={"Accept": "text/html"})
        if body is not None:
            server.send(method, where, 415, at=at, body="a=b", headers={"Content-Type": "text/plain"})
            if too_large:
                server.send(method, where, 413, at=at, body=b"{}" + b" " * BODY_LIMIT)


def wait_for_simulation(server, one):
    """What works at a simulation changes its version."""
    at = "/scim/v2/Simulations/{id}"
    for _ in range(600):
        if server.send("GET", one, 200, at=at).json()["state"] not in ("waiting", "running", "checking"):
            return
        time.sleep(0.1)
    check(False, f"{one} is not worked out")


def check_simulations(server):
    """Simulations, what one says, and a decision on one without a result."""
    body = {"schemas": ["urn:matrikel:scim:schemas:1.0:Simulation"], "filter": 'userName eq "nobody"'}
    bodies = [body | {"name": name} for name in ("what if", "if not")]
    change = {"op": "replace", "path": "name", "value": "what then"}
    check_kind(server, "Simulations", "Simulation", bodies, change, None)
    path, one_path = "/scim/v2/Simulations", "/scim/v2/Simulations/{id}"
    made = server.send("POST", path, 201, body=body | {"name": "applied"}).json()
    one, at = f"{path}/{made['id']}/items", one_path + "/items"
    wait_for_simulation(server, f"{path}/{made['id']}")
    for method in ("GET", "HEAD"):
        for list_ in ("object", "target", "difference"):
            server.send(method, one, 200, at=at, params={"list": list_, "count": 2})
        server.send(method, one, 400, at=at, params={"count": "many"})
        server.send(method, one, 403, at=at, token=server.consumer)
        server.send(method, f"{path}/nothing/items", 404, at=at)
        check_refusals(server, [(method, one, at, None)])
    server.send("OPTIONS", one, 204, at=at)
    apply = {"op": "replace", "path": "decision", "value": "apply"}
    one = f"{path}/{made['id']}"
    server.send("PATCH", one, 200, at=one_path, body=PATCH | {"Operations": [apply]})
    wait_for_simulation(server, one)
    server.send("PATCH", one, 409, at=one_path, body=PATCH | {"Operations": [apply]})
    server.send("PUT", one, 409, at=one_path, body=body | {"name": "applied", "decision": "apply"})
    expired = server.send("POST", path, 201, body=body | {"name": "failed", "activate": []}).json()
    server.send("DELETE", f"{path}/{expired['id']}", 204, at=one_path)


def check_policies(server):
    """Policies want the extension Person, which goes again with the last of them."""
    person = json.loads((ROOT / "schemas/install/person.json").read_text(encoding="utf-8"))
    user, kinds = "/scim/v2/ResourceTypes/User", "/scim/v2/ResourceTypes/{name}"
    policy = {"schemas": ["urn:matrikel:scim:schemas:1.0:Policy"], "zone": "Europe/Helsinki"}
    policy["covers"] = 'userName eq "nobody"'
    server.send("POST", "/scim/v2/Policies", 400, body=policy | {"name": "early"})
    server.send("POST", "/scim/v2/Schemas", 201, body=person)
    value = [{"schema": person["id"], "required": False}]
    added = {"op": "add", "path": "schemaExtensions", "value": value}
    server.send("PATCH", user, 200, at=kinds, body=PATCH | {"Operations": [added]})
    change = {"op": "replace", "path": "stageBefore", "value": 21}
    check_kind(server, "Policies", "Policy", [policy | {"name": name} for name in ("staff", "pupils")], change, "name")
    for one in server.send("GET", "/scim/v2/Policies", 200).json()["Resources"]:
        server.send("DELETE", f"/scim/v2/Policies/{one['id']}", 204, at="/scim/v2/Policies/{id}")
    gone = {"op": "remove", "path": f'schemaExtensions[schema eq "{person["id"]}"]'}
    server.send("PATCH", user, 200, at=kinds, body=PATCH | {"Operations": [gone]})
    server.send("DELETE", f"/scim/v2/Schemas/{person['id']}", 204, at="/scim/v2/Schemas/{urn}")


def check_authorities(server):
    """Authorities want the extension Sources, which goes again with the last of them."""
    sources = json.loads((ROOT / "schemas/install/sources.json").read_text(encoding="utf-8"))
    user, kinds = "/scim/v2/ResourceTypes/User", "/scim/v2/ResourceTypes/{name}"
    client = {"schemas": ["urn:matrikel:scim:schemas:1.0:Client"], "role": "source", "name": "telephony"}
    client = server.send("POST", "/scim/v2/Clients", 201, body=client).json()
    authority = {"schemas": ["urn:matrikel:scim:schemas:1.0:Authority"], "resourceType": "User"}
    authority["sources"] = [{"value": "telephony"}]
    bodies = [authority | {"name": name, "paths": [name]} for name in ("title", "nickName")]
    server.send("POST", "/scim/v2/Authorities", 400, body=bodies[0])
    server.send("POST", "/scim/v2/Schemas", 201, body=sources)
    value = [{"schema": sources["id"], "required": False}]
    added = {"op": "add", "path": "schemaExtensions", "value": value}
    server.send("PATCH", user, 200, at=kinds, body=PATCH | {"Operations": [added]})
    change = {"op": "replace", "path": "combine", "value": "all"}
    check_kind(server, "Authorities", "Authority", bodies, change, "name")
    body = {"schemas": [CORE + "User"], "userName": "numbers"}
    made = server.send("POST", "/scim/v2/Users", 201, body=body).json()
    path, at = f"/scim/v2/Users/{made['id']}/sources", "/scim/v2/Users/{id}/sources"
    for method in ("GET", "HEAD"):
        server.send(method, path, 200, at=at)
        server.send(method, path, 400, at=at, params={"path": "displayName"})
        server.send(method, path, 403, at=at, token=server.consumer)
        server.send(method, "/scim/v2/Users/nothing/sources", 404, at=at)
        check_refusals(server, [(method, path, at, None)])
    server.send("OPTIONS", path, 204, at=at)
    server.send("DELETE", f"/scim/v2/Users/{made['id']}", 204, at="/scim/v2/Users/{id}")
    for one in server.send("GET", "/scim/v2/Authorities", 200).json()["Resources"]:
        server.send("DELETE", f"/scim/v2/Authorities/{one['id']}", 204, at="/scim/v2/Authorities/{id}")
    server.send("DELETE", f"/scim/v2/Clients/{client['id']}", 204, at="/scim/v2/Clients/{id}")
    gone = {"op": "remove", "path": f'schemaExtensions[schema eq "{sources["id"]}"]'}
    server.send("PATCH", user, 200, at=kinds, body=PATCH | {"Operations": [gone]})
    server.send("DELETE", f"/scim/v2/Schemas/{sources['id']}", 204, at="/scim/v2/Schemas/{urn}")


def check_answers(server):
    spent = {"body": {"schemas": [CORE + "Group"], "displayName": "Kept"}, "headers": {"Idempotency-Key": "spent"}}
    made = server.send("POST", "/scim/v2/Groups", 201, **spent)
    again = server.send("POST", "/scim/v2/Groups", 201, **spent)
    check(again.headers.get("Matrikel-Replayed") == "true" and again.text == made.text, "a key is honoured")
    server.send("DELETE", f"/scim/v2/Groups/{made.json()['id']}", 204, at="/scim/v2/Groups/{id}")
    user = {"schemas": [CORE + "User"], "active": True, "name": {"familyName": "Lind", "givenName": "Maj"}}
    users = [user | {"userName": f"{name}@kommun.example"} for name in ("maj", "ove")]
    users[0]["password"] = "Vinter-och-sommar-2026"
    change = {"op": "Replace", "path": "active", "value": "False"}
    check_kind(server, "Users", "User", users, change, "userName")
    group = {"schemas": [CORE + "Group"], "displayName": "Hemtjänsten"}
    groups = [group | {"externalId": name} for name in ("north", "south")]
    change = {"op": "add", "path": "displayName", "value": "Hemtjänsten norr"}
    check_kind(server, "Groups", "Group", groups, change, "externalId")
    client = {"schemas": ["urn:matrikel:scim:schemas:1.0:Client"], "role": "source"}
    clients = [client | {"name": name} for name in ("personnel", "school")]
    change = {"op": "replace", "path": "description", "value": "Pushes at night."}
    check_kind(server, "Clients", "Client", clients, change, "name")
    view = {"schemas": ["urn:matrikel:scim:schemas:1.0:View"], "types": [{"type": "User", "attributes": ["userName"]}]}
    change = {"op": "replace", "path": "description", "value": "For the cloud."}
    check_kind(server, "Views", "View", [view | {"name": name} for name in ("cloud", "school")], change, "name")
    check_view(server, view | {"name": "used"})
    check_policies(server)
    check_authorities(server)
    rule = {"schemas": ["urn:matrikel:scim:schemas:1.0:Rule"], "filter": "userName pr"}
    rule["grants"] = [{"type": "group", "value": "everybody"}]
    change = {"op": "replace", "path": "lifecycle", "value": "active"}
    check_kind(server, "Rules", "Rule", [rule | {"name": name} for name in ("nurses", "teachers")], change, "name")
    check_why(server)
    check_simulations(server)
    check_issuers(server)
    check_feeds(server)
    check_tokens(server)
    check_credentials(server)
    for method in ("GET", "HEAD"):
        for path, found, missing in (
            ("/scim/v2/ServiceProviderConfig", None, None),
            ("/scim/v2/Schemas", None, None),
            ("/scim/v2/Schemas/{urn}", CORE + "User", "urn:nothing"),
            ("/scim/v2/ResourceTypes", None, None),
            ("/scim/v2/ResourceTypes/{name}", "User", "Nothing"),
        ):
            where = re.sub(r"\{\w+\}", found or "", path)
            server.send(method, where, 200, at=path)
            server.send(method, where, 403, at=path, params={"filter": "id pr"})
            server.send(method, where, 400, at=path, headers={"Host": "a b"})
            check_refusals(server, [(method, where, path, None)])
            if missing:
                server.send(method, re.sub(r"\{\w+\}", missing, path), 404, at=path)
        me = "/scim/v2/Me"
        etag = server.send(method, me, 200).headers["ETag"]
        server.send(method, me, 304, headers={"If-None-Match": etag})
        server.send(method, me, 400, params={"attributes": "id", "excludedAttributes": "meta"})
        check_refusals(server, [(method, me, me, None)])
        server.send(method, "/scim/v2", 200)
        server.send(method, "/scim/v2", 400, params={"sortOrder": "sideways"})
        server.send(method, "/scim/v2", 403, params={"filter": "password pr"})
        check_refusals(server, [(method, "/scim/v2", "/scim/v2", None)])
        server.send(method, "/healthz", 200)
        server.send(method, "/readyz", 200)
    server.send("POST", "/scim/v2/.search", 200, body=SEARCH)
    server.send("POST", "/scim/v2/.search", 400, body={})
    server.send("POST", "/scim/v2/.search", 403, body=SEARCH | {"filter": 'password eq "x"'})
    check_refusals(server, [("POST", "/scim/v2/.search", "/scim/v2/.search", SEARCH)])
    check_memberships(server)
    check_audit(server)
    check_bulk(server)
    check_documents(server)
    for path in document["paths"]:
        if "{id}" not in path:
            server.send("OPTIONS", re.sub(r"\{\w+\}", "x", path), 204, at=path)
    for path, method, operation in operations():
        if method == "head":
            continue  # One description serves several paths.
        unseen = set(operation["responses"]) - server.seen.get((path, method), set()) - UNSEEN
        check(not unseen, f"{method.upper()} {path}: the file lists {sorted(unseen)}, which were never seen")


def main():
    if len(sys.argv) != 6:
        said = "BASE_URL ADMINISTRATOR_TOKEN CONSUMER_TOKEN LICENSED_ADMINISTRATOR_TOKEN LICENSED_STRANGER_TOKEN"
        print(f"usage: openapi_check.py {said}", file=sys.stderr)
        return 2
    server = Server(*sys.argv[1:])
    check_limits()
    check_examples()
    check_attributes()
    check_routes(server)
    check_answers(server)
    for fault in faults:
        print(fault)
    print(f"{passed} passed, {len(faults)} failed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
