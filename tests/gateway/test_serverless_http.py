"""HTTP events of a serverless.yml are read as the Serverless Framework reads them."""

from __future__ import annotations

from pathlib import Path

from roost.gateway.definition import Authorizer, Cors, JwtAuthorizer, Unplayed
from tests.gateway.test_definition import BASE, one_function, read

HTTP = """
service: app
provider:
  name: aws
  runtime: python3.13
  region: eu-west-1
  apiGateway:
    apiKeys: [named, {name: given, value: secret}]
    binaryMediaTypes: ['*/*']
  httpApi:
    payload: '1.0'
    authorizers:
      users: {type: jwt, issuerUrl: https://issuer.example, audience: [a, b], identitySource: $request.header.Auth}
      asked: {type: request, functionName: auth, enableSimpleResponses: true, payloadVersion: '1.0'}
functions:
  auth: { handler: m.f }
  f:
    handler: m.f
    httpApi: { payload: '2.0' }
    events:
      - httpApi: { path: /jwt, method: get, authorizer: { name: users, scopes: [read] } }
      - httpApi: { path: /asked, method: get, authorizer: { name: asked } }
      - httpApi: { path: /iam, method: get, authorizer: { type: aws_iam } }
  g:
    handler: m.f
    events:
      - httpApi: GET /old
      - http: GET plain
      - http: { path: '/rooms/{id}', method: any, cors: true, private: true }
      - http: { path: '/{proxy+}', method: post, cors: { origin: https://a.example, headers: [X-A], maxAge: 5 } }
      - http: { path: t, method: get, authorizer: auth }
      - http:
          path: r
          method: get
          authorizer:
            name: auth
            type: request
            identitySource: method.request.header.A, method.request.querystring.b
      - http: { path: arn, method: get, authorizer: !GetAtt AuthLambdaFunction.Arn }
      - http:
          path: cognito
          method: get
          authorizer: { arn: 'arn:aws:cognito-idp:eu-west-1:1:userpool/eu-west-1_Ab1' }
      - http: { path: iam, method: get, authorizer: aws_iam }
      - http:
          path: other
          method: get
          authorizer: { name: other, arn: 'arn:aws:lambda:eu-west-1:1:function:other' }
      - http: { path: mock, method: get, integration: mock }
"""


def test_http_events_of_both_kinds_are_read(tmp_path: Path) -> None:
    service = read(tmp_path, HTTP)
    assert service.http is not None
    assert service.rest is not None
    http = {route.path: route for route in service.http.routes}
    assert http["/jwt"].authorizer == JwtAuthorizer(
        "users", "https://issuer.example", ("a", "b"), "$request.header.Auth", ("read",)
    )
    asked = Authorizer("asked", "auth", ("$request.header.Authorization",), simple=True, payload="1.0")
    assert http["/asked"].authorizer == asked
    assert http["/iam"].authorizer == Unplayed("aws_iam")
    assert {path: route.payload for path, route in http.items()} == {
        "/jwt": "2.0",
        "/asked": "2.0",
        "/iam": "2.0",
        "/old": "1.0",
    }
    rest = {route.path: route for route in service.rest.routes}
    assert (service.rest.stage, service.rest.api_keys, service.rest.binary_types) == ("dev", ("secret",), ("*/*",))
    assert (rest["/plain"].method, rest["/plain"].authorizer, rest["/plain"].cors) == ("GET", None, None)
    assert (rest["/rooms/{id}"].method, rest["/rooms/{id}"].api_key) == ("ANY", True)
    assert rest["/rooms/{id}"].cors is not None
    assert rest["/rooms/{id}"].cors.allow_origins == ("*",)
    assert rest["/{proxy+}"].cors == Cors(("https://a.example",), (), ("X-A",), max_age=5)
    source = "method.request.header.Authorization"
    assert rest["/t"].authorizer == Authorizer("auth", "auth", (source,), token=True)
    assert rest["/arn"].authorizer == Authorizer(
        "arn:aws:lambda:eu-west-1:123456789012:function:app-dev-auth", "auth", (source,), token=True
    )
    assert rest["/r"].authorizer == Authorizer(
        "auth", "auth", ("method.request.header.A", "method.request.querystring.b")
    )
    pool = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab1"
    cognito = rest["/cognito"].authorizer
    assert isinstance(cognito, JwtAuthorizer)
    assert (cognito.issuer, cognito.audience) == (pool, ())
    assert rest["/iam"].authorizer == Unplayed("aws_iam")
    assert rest["/other"].authorizer == Unplayed("other")
    assert "/mock" not in rest


def test_what_lets_nobody_through_is_said_loudly_with_its_place(tmp_path: Path) -> None:
    warnings = read(tmp_path, HTTP).warnings
    refused = [line for line in warnings if "answer 401 unless --skip-authorizers" in line]
    assert [line.split(":")[1] for line in refused] == ["23", "44", "45"]
    assert all("AUTHORIZER" in line for line in refused)
    keyless = HTTP.replace("{name: given, value: secret}", "given")
    assert any("API KEY" in line for line in read(tmp_path, keyless).warnings)
    assert not any("API KEY" in line for line in warnings)
    assert any("integration mock is not served" in line for line in warnings)


def test_an_address_of_the_rest_api_becomes_ours(tmp_path: Path) -> None:
    text = one_function("URL: !Sub https://${ApiGatewayRestApi}.execute-api.${AWS::Region}.amazonaws.com/dev/rooms")
    assert read(tmp_path, text).functions["f"].environment["URL"] == f"{BASE}/dev/rooms"


def test_a_handler_that_a_plug_in_makes_is_left_out_and_the_rest_runs(tmp_path: Path) -> None:
    text = """
    service: app
    provider: { name: aws, runtime: python3.13 }
    plugins: [serverless-wsgi]
    functions:
      api: { handler: wsgi_handler.handler, events: [http: ANY /] }
      f: { handler: m.f, events: [websocket: $default] }
    """
    service = read(tmp_path, text)
    assert (list(service.functions), service.rest) == (["f"], None)
    assert any("serverless-wsgi makes its handler" in line for line in service.warnings)
