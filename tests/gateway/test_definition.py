"""serverless.yml and SAM templates are read as their frameworks read them; what cannot be is named with its place."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roost.gateway.definition import Authorizer, DefinitionError, Service, check_handlers, load
from tests.tools import ROOT

BASE = "http://127.0.0.1:8000"
OTHER_API = "https://other.execute-api.eu-west-1.amazonaws.com/dev"


def read(tmp_path: Path, text: str, name: str = "serverless.yml", **given_: Any) -> Service:
    (tmp_path / name).write_text(textwrap.dedent(text))
    return load(tmp_path / name, base_url=BASE, **given_)


def refusal(tmp_path: Path, text: str, name: str = "serverless.yml", **given_: Any) -> str:
    with pytest.raises(DefinitionError) as refused:
        read(tmp_path, text, name, **given_)
    return str(refused.value)


def one_function(environment: str, more: str = "") -> str:
    """A service whose one function has this environment."""
    lines = textwrap.indent(textwrap.dedent(environment).strip(), "      ")
    head = "service: app\nprovider: { name: aws, runtime: python3.13, region: eu-west-1 }\n"
    return head + f"functions:\n  f:\n    handler: m.f\n    environment:\n{lines}\n{textwrap.dedent(more)}"


def environment_of(tmp_path: Path, environment: str, more: str = "", **given_: Any) -> dict[str, str]:
    return dict(read(tmp_path, one_function(environment, more), **given_).functions["f"].environment)


# -- a whole file -----------------------------------------------------------------------------------------------------

FULL = """
service: chat
provider:
  name: aws
  runtime: python3.12
  stage: ${opt:stage, 'dev'}
  region: eu-west-1
  websocketsApiName: chat-${sls:stage}
  websocketsApiRouteSelectionExpression: $request.body.action
  httpApi: { cors: true }
  environment:
    TABLE: !Ref ConnTable
    QUEUE: !GetAtt Jobs.Arn
    SECRET: ${env:CHAT_SECRET, 'dev'}
functions:
  connect:
    handler: src/ws.connect
    layers: [ !Ref DepsLambdaLayer ]
    events:
      - websocket:
          route: $connect
          authorizer: { name: auth, identitySource: [ 'route.request.querystring.token' ] }
  send:
    handler: src/ws.send
    timeout: 29
    memorySize: 256
    events:
      - websocket: { route: sendMessage, routeResponseSelectionExpression: $default }
  fallback: { handler: src/ws.default, events: [ websocket: $default ] }
  rooms: { handler: src/http.rooms, events: [ httpApi: 'GET /rooms/{id}' ] }
  auth: { handler: src/auth.handler }
layers:
  deps: { path: layer }
resources:
  Resources:
    ConnTable:
      Type: AWS::DynamoDB::Table
      Properties: { TableName: "conn-${sls:stage}", KeySchema: [] }
    Jobs: { Type: AWS::SQS::Queue }
"""


def test_a_whole_file(tmp_path: Path) -> None:
    (tmp_path / "layer").mkdir()
    service = read(tmp_path, FULL, environ={"CHAT_SECRET": "s3cret"})
    assert (service.name, service.stage, service.region) == ("chat", "dev", "eu-west-1")
    assert list(service.functions) == ["connect", "send", "fallback", "rooms", "auth"]
    send = service.functions["send"]
    assert (send.name, send.handler, send.timeout, send.memory) == ("chat-dev-send", "src/ws.send", 29, 256)
    assert (send.runtime, send.code_root) == ("python3.12", tmp_path)
    assert send.environment == {
        "TABLE": "conn-dev",
        "QUEUE": "arn:aws:sqs:eu-west-1:123456789012:chat-dev-Jobs",
        "SECRET": "s3cret",
    }
    assert service.functions["connect"].layers == (tmp_path / "layer",)
    assert (service.functions["auth"].timeout, service.functions["auth"].memory) == (6, 1024)
    websocket = service.websocket
    assert websocket is not None
    assert (websocket.name, websocket.stage) == ("chat-dev", "dev")
    assert websocket.route_selection_expression == "$request.body.action"
    assert {key: (route.function, route.two_way) for key, route in websocket.routes.items()} == {
        "$connect": ("connect", False),
        "sendMessage": ("send", True),
        "$default": ("fallback", False),
    }
    assert isinstance(websocket.authorizer, Authorizer)
    assert websocket.authorizer.function == "auth"
    assert websocket.authorizer.identity_sources == ("route.request.querystring.token",)
    assert service.http is not None
    assert [route.key for route in service.http.routes] == ["GET /rooms/{id}"]
    assert service.http.cors is not None
    assert [table.name for table in service.tables] == ["conn-dev"]
    assert service.warnings == ()


def test_the_stage_of_the_command_line_wins(tmp_path: Path) -> None:
    (tmp_path / "layer").mkdir()
    service = read(tmp_path, FULL, stage="prod")
    assert service.stage == "prod"
    assert service.functions["send"].environment["TABLE"] == "conn-prod"
    assert service.functions["send"].name == "chat-prod-send"


BLOG_POST_OF_2019 = """
service: serverless-chat
frameworkVersion: "=1.50.0"
custom:
  table: ${self:service}-${self:provider.stage}
provider:
  name: aws
  runtime: python3.6
  stage: ${env:STAGE, 'dev'}
  websocketsApiName: ${self:service}
  websocketsApiRouteSelectionExpression: $request.body.action
  iamRoleStatements:
    - Effect: Allow
      Action: ["dynamodb:*"]
      Resource: { "Fn::GetAtt": [MyTable, Arn] }
  environment:
    table: { "Ref": "MyTable" }
functions:
  connect:
    handler: handler.connect
    layers: ["arn:aws:lambda:us-west-2:420819310858:layer:boto3:1"]
    events:
      - websocket:
          route: $connect
  default:
    handler: handler.default
    events: [{ websocket: { route: "$default" } }]
  warm:
    handler: handler.warm
    events: [{ schedule: rate(5 minutes) }]
  old:
    runtime: nodejs8.10
    handler: old.handler
    events: [{ websocket: old }]
package:
  exclude: [node_modules/**]
resources:
  - Resources:
      MyTable:
        Type: AWS::DynamoDB::Table
        Properties: { TableName: "${self:custom.table}" }
  - Outputs: { X: { Value: 1 } }
"""


def test_a_file_of_2019_with_its_old_spellings(tmp_path: Path) -> None:
    service = read(tmp_path, BLOG_POST_OF_2019)
    assert service.functions["connect"].environment == {"table": "serverless-chat-dev"}
    assert service.websocket is not None
    assert list(service.websocket.routes) == ["$connect", "$default"]
    texts = " ".join(service.warnings)
    assert "layer of connect is not here: packages already installed stand in" in texts
    assert "event schedule of warm is not served" in texts
    assert "function old runs on nodejs8.10: left out" in texts
    assert all(f"{tmp_path}/serverless.yml:" in warning for warning in service.warnings)


# -- variables --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${self:service}", "app"),
        ("${self:provider.region}", "eu-west-1"),
        ("${sls:stage}", "dev"),
        ("${aws:region}", "eu-west-1"),
        ("${aws:accountId}", "123456789012"),
        ("${opt:colour}", "red"),
        ("${opt:none, 'plain'}", "plain"),
        ("${opt:none, self:service}", "app"),
        ("${opt:none, ${self:service}}", "app"),
        ("${opt:none, env:NOPE, 'last'}", "last"),
        ("${env:HOME_TOWN}", "Basel"),
        ("${env:DOTTED}", "from the file"),
        ("${env:STAGED}", "of dev"),
        ("${self:custom.${sls:stage}.name}", "deep"),
        ("${self:custom.list.1}", "two"),
        ("${self:custom.number}", "5"),
        ("${self:custom.yes}", "true"),
        ("a-${sls:stage}-${self:service}-b", "a-dev-app-b"),
        ("${file(./more.yml):inner.key}", "included app"),
        ("${file(./more.json):a.b}", "json"),
        ("${file(./none.yml):x, 'none'}", "none"),
        ("${param:colour}", "blue"),
        ("${param:other}", "default one"),
        ("${ssm:/path/to/secret}", "given"),
        ("${strToBool('true')}", "true"),
        ("plain $5 and ${ not one", "plain $5 and ${ not one"),
    ],
)
def test_a_variable_resolves(tmp_path: Path, written: str, value: str) -> None:
    (tmp_path / "more.yml").write_text("inner: { key: 'included ${self:service}' }\n")
    (tmp_path / "more.json").write_text('{"a": {"b": "json"}}')
    (tmp_path / ".env").write_text("# comment\nDOTTED='from the file'\nSTAGED=no\n")
    (tmp_path / ".env.dev").write_text("export STAGED=of dev\n")
    more = """
    custom:
      number: 5
      yes: true
      list: [one, two]
      dev: { name: deep }
    stages:
      dev: { params: { colour: blue } }
      default: { params: { colour: grey, other: default one } }
    """
    environment = environment_of(
        tmp_path,
        f"X: {written!r}" if '"' in written else f'X: "{written}"',
        more,
        options={"colour": "red"},
        environ={"HOME_TOWN": "Basel"},
        overrides={"ssm:/path/to/secret": "given"},
    )
    assert environment == {"X": value}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("${env:NOPE}", "cannot resolve ${env:NOPE}"),
        ("${ssm:/a/b}", "cannot resolve ${ssm:/a/b}: give it a value with --set 'ssm:/a/b=…'"),
        ("${cf:other.Output}", "${cf:other.Output}"),
        ("${self:custom.loop}", "refers to itself"),
        ("${self:custom.nothing}", "${self:custom.nothing}"),
        ("${file(./nope.yml)}", "${file(./nope.yml)}"),
        ("${file(./prog.js):x}", "prog.js is a program"),
    ],
)
def test_what_cannot_be_resolved_is_named_with_its_line(tmp_path: Path, written: str, said: str) -> None:
    (tmp_path / "prog.js").write_text("module.exports = {}")
    text = one_function(f'OK: fine\nX: "{written}"', "custom: { loop: '${self:custom.loop}' }\n")
    message = refusal(tmp_path, text)
    assert message.startswith(f"{tmp_path}/serverless.yml:8: ")
    assert said in message


def test_what_nobody_asks_for_need_not_resolve(tmp_path: Path) -> None:
    more = "custom: { secret: '${ssm:/not/here}' }\nplugins: ['${cf:x}']\n"
    assert environment_of(tmp_path, "X: y", more) == {"X": "y"}


def test_an_override_gives_a_value_to_a_variable_of_the_environment(tmp_path: Path) -> None:
    environment = environment_of(tmp_path, 'X: "${cf:other.Output}"', overrides={"X": "local"})
    assert environment == {"X": "local"}


# -- intrinsics -------------------------------------------------------------------------------------------------------

RESOURCES = """
resources:
  Conditions:
    Yes: !Equals [a, a]
  Resources:
    Table: { Type: AWS::DynamoDB::Table, Properties: { TableName: given } }
    Unnamed: { Type: AWS::DynamoDB::Table, Properties: {} }
    Bucket: { Type: AWS::S3::Bucket }
    Topic: { Type: AWS::SNS::Topic, Properties: { TopicName: news } }
    Jobs: { Type: AWS::SQS::Queue, Properties: { QueueName: jobs } }
"""


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("!Ref Table", "given"),
        ("{ Ref: Table }", "given"),
        ("!Ref Unnamed", "app-dev-Unnamed"),
        ("!GetAtt Table.Arn", "arn:aws:dynamodb:eu-west-1:123456789012:table/given"),
        ("!GetAtt [Table, Arn]", "arn:aws:dynamodb:eu-west-1:123456789012:table/given"),
        ("{ 'Fn::GetAtt': [Jobs, QueueName] }", "jobs"),
        ("!Ref Jobs", "https://sqs.eu-west-1.amazonaws.com/123456789012/jobs"),
        ("!Ref Topic", "arn:aws:sns:eu-west-1:123456789012:news"),
        ("!Ref Bucket", "app-dev-bucket"),
        (
            "!Sub 'x-${Table}-${AWS::Region}-${Table.Arn}'",
            "x-given-eu-west-1-arn:aws:dynamodb:eu-west-1:123456789012:table/given",
        ),
        ("!Sub ['${A}-${Table}', { A: !Ref Bucket }]", "app-dev-bucket-given"),
        ("!Sub '${!Literal}'", "${Literal}"),
        ("!Join ['-', [a, !Ref Table, b]]", "a-given-b"),
        ("!Select [1, [a, b]]", "b"),
        ("!Select [0, !Split ['/', 'x/y']]", "x"),
        ("!Ref AWS::AccountId", "123456789012"),
        ("!Sub 'https://${WebsocketsApi}.execute-api.${AWS::Region}.amazonaws.com/${sls:stage}'", f"{BASE}/dev"),
        (
            "!Join ['', ['https://', !Ref WebsocketsApi, '.execute-api.', !Ref AWS::Region, '.amazonaws.com/dev']]",
            f"{BASE}/dev",
        ),
        ("!Sub 'wss://${WebsocketsApi}.execute-api.eu-west-1.amazonaws.com/dev'", "wss://127.0.0.1:8000/dev"),
        ("!Sub '${WebsocketsApi}.execute-api.${AWS::Region}.amazonaws.com/dev'", "127.0.0.1:8000/dev"),
        ("!Sub 'https://other.execute-api.${AWS::Region}.amazonaws.com/dev'", OTHER_API),
        ("!GetAtt WebsocketsApi.ApiEndpoint", "wss://127.0.0.1:8000"),
        ("!GetAtt HttpApi.ApiEndpoint", BASE),
        ("!GetAtt FLambdaFunction.Arn", "arn:aws:lambda:eu-west-1:123456789012:function:app-dev-f"),
    ],
)
def test_an_intrinsic_resolves_to_what_is_declared(tmp_path: Path, written: str, value: str) -> None:
    assert environment_of(tmp_path, f"X: {written}", RESOURCES) == {"X": value}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("!Ref Nope", "Ref Nope, which is not declared here"),
        ("!GetAtt Nope.Arn", "GetAtt Nope.Arn: Nope is not declared here"),
        ("!ImportValue other-Table", "Fn::ImportValue of 'other-Table'"),
        ("!Sub '${Nope}'", "Ref Nope"),
        ("!Join x", "Fn::Join of 'x', which is not of its form"),
        ("[a, b]", "must be text, not a list"),
    ],
)
def test_an_intrinsic_that_only_the_cloud_knows_is_refused(tmp_path: Path, written: str, said: str) -> None:
    message = refusal(tmp_path, one_function(f"X: {written}", RESOURCES))
    assert said in message
    assert f"{tmp_path}/serverless.yml:7: " in message
    assert environment_of(tmp_path, f"X: {written}", RESOURCES, overrides={"X": "mine"}) == {"X": "mine"}


def test_functions_merge_over_the_provider_and_null_drops(tmp_path: Path) -> None:
    text = """
    service: app
    provider: { name: aws, environment: { A: provider, B: provider, C: 1, D: true } }
    functions:
      f: { handler: m.f, environment: { B: function, C: null } }
    """
    assert read(tmp_path, text).functions["f"].environment == {"A": "provider", "B": "function", "D": "true"}


def test_functions_may_be_a_list_or_an_include_and_yaml_may_merge(tmp_path: Path) -> None:
    (tmp_path / "functions.yml").write_text("two: { handler: m.two }\n")
    text = """
    service: { name: app }
    x-base: &base { timeout: 20 }
    provider: { name: aws }
    functions:
      - one: { <<: *base, handler: m.one }
      - ${file(functions.yml)}
    """
    service = read(tmp_path, text)
    assert list(service.functions) == ["one", "two"]
    assert service.functions["one"].timeout == 20


# -- what is wrong with a file ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "line", "said"),
    [
        ("f: { events: [ websocket: $connect ] }", 4, "function f has no handler"),
        ("f: nothing", 4, "function f has no handler"),
        ("f: { handler: m.f, timeout: -1 }", 4, "timeout must be a number above 0"),
        ("f: { handler: m.f, events: [ websocket: { authorizer: x } ] }", 4, "needs a route"),
        ("f: { handler: m.f, events: [ websocket: ] }", 4, "is empty: it names no route"),
        ("f: { handler: m.f, events: [ { websocket: , route: $connect } ] }", 4, "wrong indentation"),
        (
            "f: { handler: m.f, events: [ websocket: { route: $connect, authorizer: nobody } ] }",
            4,
            "authorizer nobody: no function of this name",
        ),
        (
            "f: { handler: m.f, events: [ websocket: { route: x, routeResponseSelectionExpression: $x } ] }",
            4,
            "can only be $default",
        ),
        ("f: { handler: m.f, events: [ httpApi: 'FETCH /x' ] }", 4, "FETCH is not a method"),
        ("f: { handler: m.f, events: [ httpApi: '/x' ] }", 4, "needs a method and a path"),
        ("f: { handler: m.f, events: [ httpApi: 'GET /x', httpApi: 'GET /y' ] }", None, None),
        ("f: { handler: m.f, events: [ {httpApi: 'GET /x'}, {httpApi: 'get /x'} ] }", 4, "declared twice"),
        ("f: { handler: m.f, events: [ httpApi: { path: /x, method: GET, authorizer: a } ] }", 4, "not declared under"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, function: str, line: int | None, said: str | None) -> None:
    text = f"service: app\nprovider: {{ name: aws }}\nfunctions:\n  {function}\n"
    if said is None:
        assert read(tmp_path, text).http is not None
        return
    message = refusal(tmp_path, text)
    assert message.startswith(f"{tmp_path}/serverless.yml:{line}: ")
    assert said in message


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    text = """\
    service: app
    provider: { name: aws }
    functions:
      a: { events: [] }
      b: { handler: m.b, environment: { X: "${env:NOPE}", Y: !Ref Nope } }
    """
    assert len(refusal(tmp_path, text).splitlines()) == 3


def test_two_functions_on_one_route_the_last_wins(tmp_path: Path) -> None:
    text = """
    service: app
    provider: { name: aws }
    functions:
      a: { handler: m.a, events: [ websocket: x ] }
      b: { handler: m.b, events: [ websocket: x ] }
    """
    service = read(tmp_path, text)
    assert service.websocket is not None
    assert service.websocket.routes["x"].function == "b"
    assert "b wins over a" in service.warnings[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [b", "not valid YAML"),
        ("a: b\n\tc: d", ":2: not valid YAML"),
        ("- a", "holds no mapping"),
        ("", "holds no mapping"),
        ("a: b", "neither a serverless.yml"),
        ("&a a: *b", "not valid YAML"),
        ("? [a]\n: b", "not valid YAML"),
        ("service: x\nprovider: {name: aws}", "there is no Python function"),
    ],
)
def test_a_file_that_is_none_is_refused_in_a_line(tmp_path: Path, text: str, said: str) -> None:
    message = refusal(tmp_path, text)
    assert said in message
    assert "Traceback" not in message


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="there is no such file"):
        load(tmp_path / "nope.yml")


_TEXTS = st.text(max_size=12) | st.sampled_from(["${self:a}", "${", "$connect"])
_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), _TEXTS)
_KEYS = st.sampled_from(
    [
        "service",
        "provider",
        "functions",
        "handler",
        "events",
        "websocket",
        "httpApi",
        "route",
        "environment",
        "resources",
        "Resources",
        "Type",
        "Properties",
        "Fn::Sub",
        "Ref",
        "layers",
        "timeout",
        "authorizer",
        "Transform",
        "Events",
        "x",
    ]
)
_TREES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=5), max_leaves=25
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=st.dictionaries(_KEYS, _TREES, max_size=6))
def test_no_document_makes_it_fail_in_any_other_way(tmp_path: Path, tree: Any) -> None:
    import yaml

    (tmp_path / "f.yml").write_text(yaml.safe_dump(tree))
    try:
        load(tmp_path / "f.yml")
    except DefinitionError as error:
        assert str(error)


# -- SAM --------------------------------------------------------------------------------------------------------------

SIMPLE_WEBSOCKETS_CHAT = """
AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
Parameters:
  TableName: { Type: String, Default: simplechat_connections }
Resources:
  SimpleChatWebSocket:
    Type: AWS::ApiGatewayV2::Api
    Properties:
      Name: SimpleChatWebSocket
      ProtocolType: WEBSOCKET
      RouteSelectionExpression: "$request.body.message"
  ConnectRoute:
    Type: AWS::ApiGatewayV2::Route
    Properties:
      ApiId: !Ref SimpleChatWebSocket
      RouteKey: $connect
      AuthorizationType: NONE
      OperationName: ConnectRoute
      Target: !Join ['/', ['integrations', !Ref ConnectInteg]]
  ConnectInteg:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref SimpleChatWebSocket
      IntegrationType: AWS_PROXY
      IntegrationUri:
        Fn::Sub: arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${OnConnectFunction.Arn}/invocations
  SendRoute:
    Type: AWS::ApiGatewayV2::Route
    Properties:
      ApiId: !Ref SimpleChatWebSocket
      RouteKey: sendmessage
      RouteResponseSelectionExpression: $default
      Target: !Sub integrations/${SendInteg}
  SendInteg:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref SimpleChatWebSocket
      IntegrationType: AWS_PROXY
      IntegrationUri: !GetAtt SendMessageFunction.Arn
  Deployment: { Type: AWS::ApiGatewayV2::Deployment, Properties: { ApiId: !Ref SimpleChatWebSocket } }
  Stage:
    Type: AWS::ApiGatewayV2::Stage
    Properties: { StageName: Prod, DeploymentId: !Ref Deployment, ApiId: !Ref SimpleChatWebSocket }
  ConnectionsTable:
    Type: AWS::DynamoDB::Table
    Properties: { TableName: !Ref TableName, KeySchema: [] }
  OnConnectFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: onconnect/
      Handler: app.handler
      Runtime: python3.12
      Environment: { Variables: { TABLE_NAME: !Ref TableName } }
  SendMessageFunction:
    Type: AWS::Serverless::Function
    Properties: { CodeUri: onconnect/, Handler: app.handler, Runtime: python3.12 }
"""


def test_a_template_that_declares_its_websocket_api_by_hand(tmp_path: Path) -> None:
    (tmp_path / "onconnect").mkdir()
    service = read(tmp_path, SIMPLE_WEBSOCKETS_CHAT, "template.yaml")
    websocket = service.websocket
    assert websocket is not None
    assert (websocket.stage, websocket.route_selection_expression) == ("Prod", "$request.body.message")
    assert {key: (route.function, route.two_way) for key, route in websocket.routes.items()} == {
        "$connect": ("OnConnectFunction", False),
        "sendmessage": ("SendMessageFunction", True),
    }
    connect = service.functions["OnConnectFunction"]
    assert (connect.code_root, connect.timeout, connect.memory) == (tmp_path / "onconnect", 3, 128)
    assert connect.environment == {"TABLE_NAME": "simplechat_connections"}
    assert [table.name for table in service.tables] == ["simplechat_connections"]


def test_the_two_forms_of_the_rooms_example_are_one_app() -> None:
    rooms = ROOT / "examples" / "rooms"
    one, other = load(rooms / "serverless.yml", base_url=BASE), load(rooms / "template.yaml", base_url=BASE)
    assert one.websocket is not None and other.websocket is not None
    assert one.http is not None and other.http is not None
    assert one.websocket.routes.keys() == other.websocket.routes.keys()
    assert {r.key for r in one.http.routes} == {r.key for r in other.http.routes}
    for service in (one, other):
        assert check_handlers(service) == []
        assert service.websocket is not None
        assert service.websocket.routes["whoami"].two_way
        assert service.websocket.authorizer is not None
        assert all(f.environment["CALLBACK_URL"] == f"{BASE}/dev" for f in service.functions.values())


@pytest.mark.parametrize(
    ("resource", "said"),
    [
        (
            "F: { Type: AWS::Serverless::Function, Properties: { CodeUri: nope/, Handler: a.b } }",
            "CodeUri 'nope/' is not a folder",
        ),
        ("F: { Type: AWS::Serverless::Function, Properties: { CodeUri: . } }", "function F has no Handler"),
        (
            "F: { Type: AWS::Serverless::Function, Properties: { CodeUri: ., Handler: a.b, Environment: { Variables: { X: !Ref Nope } } } }",  # noqa: E501  one thing, on one line
            "X: cannot resolve Ref Nope",
        ),
        ("T: { Type: AWS::DynamoDB::Table }", "there is no Python function"),
    ],
)
def test_a_mistake_in_a_template_is_named_with_its_place(tmp_path: Path, resource: str, said: str) -> None:
    resource = resource.replace("%s", "AWS::Serverless::Function")
    message = refusal(tmp_path, f"Transform: AWS::Serverless-2016-10-31\nResources:\n  {resource}\n", "template.yaml")
    assert said in message
    assert message.startswith(f"{tmp_path}/template.yaml:")


def test_conditions_and_parameters_decide(tmp_path: Path) -> None:
    text = """
    Transform: AWS::Serverless-2016-10-31
    Parameters: { Stage: { Type: String, Default: dev } }
    Conditions: { IsProd: !Equals [!Ref Stage, prod], NotProd: !Not [!Condition IsProd] }
    Globals: { Function: { Timeout: 7, Environment: { Variables: { SHARED: yes please } } } }
    Resources:
      F:
        Type: AWS::Serverless::Function
        Properties:
          CodeUri: .
          Handler: a.b
          Environment: { Variables: { LEVEL: !If [IsProd, high, low], GONE: !Ref AWS::NoValue } }
      Extra: { Type: AWS::Serverless::Function, Condition: IsProd, Properties: { CodeUri: ., Handler: a.c } }
    """
    dev = read(tmp_path, text, "template.yaml")
    assert list(dev.functions) == ["F"]
    assert dev.functions["F"].environment["LEVEL"] == "low"
    assert (dev.functions["F"].timeout, dev.functions["F"].environment["SHARED"]) == (7, "yes please")
    prod = read(tmp_path, text, "template.yaml", stage="prod")
    assert list(prod.functions) == ["F", "Extra"]
    assert prod.functions["F"].environment["LEVEL"] == "high"


# -- handlers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        ("src/ws.connect", None),
        ("src.ws.connect", None),
        ("src/ws.later", None),
        ("src/ws.assigned", None),
        ("src/ws.imported", None),
        ("package.handler", None),
        ("broken.handler", None),  # what is wrong with it is said when it is called
        ("src/ws.nope", "defines no nope"),
        ("nowhere.handler", "no such file"),
        ("handler", "no such file"),
    ],
)
def test_a_handler_is_looked_for_before_anything_starts(tmp_path: Path, handler: str, said: str | None) -> None:
    (tmp_path / "src").mkdir()
    source = "from os import path as imported\ndef connect(e, c): ...\nasync def later(e, c): ...\nassigned = connect\n"
    (tmp_path / "src" / "ws.py").write_text(source)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("def handler(e, c): ...")
    (tmp_path / "broken.py").write_text("def (")
    service = read(tmp_path, f"service: a\nprovider: {{name: aws}}\nfunctions: {{f: {{handler: {handler}}}}}")
    problems = check_handlers(service)
    if said is None:
        assert problems == []
    else:
        assert len(problems) == 1
        assert said in problems[0]


def test_conditions_and_mappings_of_resources_are_followed(tmp_path: Path) -> None:
    more = """
    resources:
      - Mappings: { Colours: { dev: { main: red } } }
      - Conditions:
          IsProd: !Equals ["${self:provider.stage}", prod]
          NotProd: !Not [!Condition IsProd]
        Resources:
          Big: { Type: AWS::DynamoDB::Table, Condition: IsProd, Properties: { TableName: big } }
          Small: { Type: AWS::DynamoDB::Table, Condition: NotProd, Properties: { TableName: small } }
    """
    text = one_function("A: !If [IsProd, !Ref Big, !Ref Small]\nB: !FindInMap [Colours, dev, main]", more)
    service = read(tmp_path, text)
    assert service.functions["f"].environment == {"A": "small", "B": "red"}
    assert [table.name for table in service.tables] == ["small"]
    service = read(tmp_path, text, stage="prod")
    assert service.functions["f"].environment["A"] == "big"
    assert [table.name for table in service.tables] == ["big"]


def test_stage_and_region_that_the_file_does_not_name_are_the_frameworks(tmp_path: Path) -> None:
    text = one_function("A: ${self:provider.stage}-${self:provider.region}").replace(", region: eu-west-1", "")
    assert read(tmp_path, text).functions["f"].environment == {"A": "dev-us-east-1"}
    assert read(tmp_path, text, stage="prod").functions["f"].environment == {"A": "prod-us-east-1"}


def test_pseudo_parameters_of_the_plug_in_are_known(tmp_path: Path) -> None:
    text = one_function("A: 'arn:aws:sns:#{AWS::Region}:#{AWS::AccountId}:t'")
    plain = read(tmp_path, text).functions["f"].environment
    assert plain == {"A": "arn:aws:sns:#{AWS::Region}:#{AWS::AccountId}:t"}
    text += "plugins: [serverless-pseudo-parameters]\n"
    assert read(tmp_path, text).functions["f"].environment == {"A": "arn:aws:sns:eu-west-1:123456789012:t"}


def test_a_folder_stands_for_the_file_in_it(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"there is no serverless.yml and no template.yaml in this folder"):
        load(tmp_path)
    read(tmp_path, one_function("A: sam"), "template.yaml")
    assert load(tmp_path).functions["f"].environment == {"A": "sam"}
    read(tmp_path, one_function("A: serverless"))
    assert load(tmp_path).functions["f"].environment == {"A": "serverless"}


def test_a_file_that_is_a_program_is_refused_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "serverless.ts").write_text("module.exports = {}")
    with pytest.raises(DefinitionError, match=r"serverless.ts is a program.*`serverless print` makes a file of it"):
        load(tmp_path / "serverless.ts")


@pytest.mark.parametrize(
    ("written", "expression"),
    [
        ("$request.body.type", "$request.body.type"),
        ("${request.body.a}-${request.body.b}", "${request.body.a}-${request.body.b}"),
        ("${self:custom.selection}", "$request.body.kind"),
    ],
)
def test_a_selection_expression_may_be_a_variable_or_hold_api_gateways_own(
    tmp_path: Path, written: str, expression: str
) -> None:
    text = f"""
    service: app
    custom: {{ selection: $request.body.kind }}
    provider: {{ name: aws, runtime: python3.13, websocketsApiRouteSelectionExpression: "{written}" }}
    functions:
      auth: {{ handler: m.f }}
      f:
        handler: m.f
        events: [ websocket: {{ route: $connect, authorizer: !GetAtt AuthLambdaFunction.Arn }} ]
    """
    service = read(tmp_path, text)
    assert service.websocket is not None
    assert service.websocket.route_selection_expression == expression
    assert isinstance(service.websocket.authorizer, Authorizer)
    assert service.websocket.authorizer.function == "auth"
