"""HTTP APIs and REST APIs of a SAM template are read as SAM reads them; nobody is let through unasked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from roost.gateway.definition import Authorizer, Cors, HttpApi, HttpRoute, JwtAuthorizer, RestApi, Unplayed
from tests.gateway.test_definition import read

HEAD = """
Globals:
  Function: { Runtime: python3.13, CodeUri: ., Handler: m.f }
  Api: { Cors: "'*'", BinaryMediaTypes: [image~1png] }
Resources:
  Auth: { Type: AWS::Serverless::Function }
"""


def template(tmp_path: Path, events: str, apis: str = "") -> Any:
    text = f"{HEAD}  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      Events:\n"
    return read(tmp_path, text + "".join(f"        {line}\n" for line in events.strip().splitlines()) + apis, "t.yaml")


def routes(api: HttpApi | RestApi | None) -> dict[str, HttpRoute]:
    assert api is not None
    return {route.path: route for route in api.routes}


HTTP = """
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      Auth:
        DefaultAuthorizer: Users
        Authorizers:
          Users:
            IdentitySource: $request.header.Authorization
            JwtConfiguration: { issuer: https://issuer.example, audience: [a] }
          Asked:
            FunctionArn: !GetAtt Auth.Arn
            AuthorizerPayloadFormatVersion: '1.0'
            Identity: { Headers: [X-Auth], QueryStrings: [q] }
"""


def test_authorizers_of_an_http_api_guard_its_routes_by_default_too(tmp_path: Path) -> None:
    events = """
A: { Type: HttpApi, Properties: { ApiId: !Ref Api, Path: /default, Method: get } }
B: { Type: HttpApi, Properties: { ApiId: !Ref Api, Path: /open, Method: get, Auth: { Authorizer: NONE } } }
C: { Type: HttpApi, Properties: { ApiId: !Ref Api, Path: /asked, Method: post, Auth: { Authorizer: Asked } } }
D: { Type: HttpApi, Properties: { ApiId: !Ref Api, Path: /iam, Method: get, Auth: { Authorizer: AWS_IAM } } }
E: { Type: HttpApi, Properties: { ApiId: !Ref Api, Path: /old, Method: get, PayloadFormatVersion: '1.0' } }
"""
    service = template(tmp_path, events, HTTP)
    found = routes(service.http)
    users = JwtAuthorizer("Users", "https://issuer.example", ("a",))
    assert found["/default"].authorizer == users
    assert found["/open"].authorizer is None
    sources = ("$request.header.X-Auth", "$request.querystring.q")
    assert found["/asked"].authorizer == Authorizer("Asked", "Auth", sources, payload="1.0")
    assert found["/iam"].authorizer == Unplayed("AWS_IAM")
    assert (found["/old"].payload, found["/default"].payload) == ("1.0", "2.0")
    assert [line for line in service.warnings if "AUTHORIZER AWS_IAM" in line]


REST = """
  Api:
    Type: AWS::Serverless::Api
    Properties:
      StageName: live
      Cors: { AllowOrigin: "'https://a.example'", AllowMethods: "'GET, POST'", MaxAge: "'5'" }
      Auth:
        DefaultAuthorizer: Token
        Authorizers:
          Token: { FunctionArn: !GetAtt Auth.Arn, Identity: { Header: X-Token, ValidationExpression: ^x$ } }
          Asked: { FunctionArn: !GetAtt Auth.Arn, FunctionPayloadType: REQUEST, Identity: { QueryStrings: [q] } }
          Pool: { UserPoolArn: arn:aws:cognito-idp:us-east-1:1:userpool/us-east-1_Ab1 }
"""


def test_a_rest_api_is_read_with_its_authorizers_and_cors(tmp_path: Path) -> None:
    events = """
A: { Type: Api, Properties: { RestApiId: !Ref Api, Path: '/rooms/{id}', Method: get } }
B: { Type: Api, Properties: { RestApiId: !Ref Api, Path: /asked, Method: any, Auth: { Authorizer: Asked } } }
C: { Type: Api, Properties: { RestApiId: !Ref Api, Path: /pool, Method: get, Auth: { Authorizer: Pool } } }
D: { Type: Api, Properties: { RestApiId: !Ref Api, Path: /open, Method: get, Auth: { Authorizer: NONE } } }
E: { Type: Api, Properties: { RestApiId: !Ref Api, Path: /key, Method: get, Auth: { ApiKeyRequired: true } } }
"""
    service = template(tmp_path, events, REST)
    found = routes(service.rest)
    assert (service.http, service.rest.stage) == (None, "live")
    token = Authorizer("Token", "Auth", ("method.request.header.X-Token",), token=True, pattern="^x$")
    assert found["/rooms/{id}"].authorizer == token
    assert found["/asked"].authorizer == Authorizer("Asked", "Auth", ("method.request.querystring.q",))
    assert found["/asked"].method == "ANY"
    pool = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Ab1"
    assert found["/pool"].authorizer == JwtAuthorizer("Pool", pool, (), "method.request.header.Authorization")
    assert found["/open"].authorizer is None
    assert found["/key"].api_key
    assert [line for line in service.warnings if "API KEY" in line]
    assert found["/open"].cors == Cors(("https://a.example",), ("GET", "POST"), max_age=5)


def test_without_a_declared_one_there_is_sams_own(tmp_path: Path) -> None:
    service = template(tmp_path, "A: { Type: Api, Properties: { Path: /a, Method: get } }")
    assert service.rest.stage == "Prod"
    assert routes(service.rest)["/a"].cors == Cors(("*",))
    assert service.rest.binary_types == ("image/png",)


def test_tokens_of_a_plain_api_are_checked(tmp_path: Path) -> None:
    apis = """
  Api: { Type: AWS::ApiGatewayV2::Api, Properties: { ProtocolType: HTTP } }
  To:
    Type: AWS::ApiGatewayV2::Integration
    Properties: { ApiId: !Ref Api, IntegrationUri: !GetAtt F.Arn, PayloadFormatVersion: '1.0' }
  Users:
    Type: AWS::ApiGatewayV2::Authorizer
    Properties:
      ApiId: !Ref Api
      IdentitySource: [ $request.header.X ]
      JwtConfiguration: { Issuer: https://issuer.example, Audience: [a] }
  Route:
    Type: AWS::ApiGatewayV2::Route
    Properties:
      ApiId: !Ref Api
      RouteKey: GET /a
      Target: !Sub integrations/${To}
      AuthorizationType: JWT
      AuthorizerId: !Ref Users
  Iam:
    Type: AWS::ApiGatewayV2::Route
    Properties: { ApiId: !Ref Api, RouteKey: GET /b, Target: !Sub 'integrations/${To}', AuthorizationType: AWS_IAM }
"""
    service = template(tmp_path, "A: { Type: Schedule }", apis)
    found = routes(service.http)
    assert found["/a"].authorizer == JwtAuthorizer("Users", "https://issuer.example", ("a",), "$request.header.X")
    assert found["/a"].payload == "1.0"
    assert found["/b"].authorizer == Unplayed("AWS_IAM")
    assert [line for line in service.warnings if "(Schedule) is not served" in line]
