"""What stands in other people's SAM templates, and must not keep the rest from running."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.gateway.definition import Unplayed, check_handlers
from tests.gateway.test_definition import read, refusal

TEMPLATE = """
Resources:
  Api: { Type: AWS::ApiGatewayV2::Api, Properties: { ProtocolType: WEBSOCKET } }
  Here:
    Type: AWS::Lambda::Function
    Properties:
      Handler: index.handler
      Runtime: python3.13
      Code:
        ZipFile: |
          def handler(event, context):
              return {"statusCode": 200}
  Sam: { Type: AWS::Serverless::Function, Properties: { Handler: index.f, InlineCode: "def f(e, c): ..." } }
  Node: { Type: AWS::Serverless::Function, Properties: { Handler: a.b, Runtime: nodejs24.x, CodeUri: away/ } }
  ToHere:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref Api
      IntegrationUri: !Sub arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/${Here.Arn}/invocations
  ToNode:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref Api
      IntegrationUri: !Sub arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/${Node.Arn}/invocations
  Nested: { Type: AWS::Serverless::Application, Properties: { Location: other.yaml } }
  Mock: { Type: AWS::ApiGatewayV2::Integration, Properties: { ApiId: !Ref Api, IntegrationType: MOCK } }
  One: { Type: AWS::ApiGatewayV2::Route, Properties: { ApiId: !Ref Api, RouteKey: a, Target: !Sub "integrations/${ToHere}" } }
  Two: { Type: AWS::ApiGatewayV2::Route, Properties: { ApiId: !Ref Api, RouteKey: b, Target: !Sub "integrations/${ToNode}" } }
  Three: { Type: AWS::ApiGatewayV2::Route, Properties: { ApiId: !Ref Api, RouteKey: c, Target: !Sub "integrations/${Mock}" } }
"""  # noqa: E501  rows of a table


def test_code_that_stands_in_the_template_is_run(tmp_path: Path) -> None:
    service = read(tmp_path, TEMPLATE, "template.yaml")
    assert check_handlers(service) == []
    assert "statusCode" in (service.functions["Here"].code_root / "index.py").read_text()
    assert service.functions["Here"].code_root != service.functions["Sam"].code_root


def test_a_route_to_what_does_not_run_here_is_left_out_with_a_warning(tmp_path: Path) -> None:
    service = read(tmp_path, TEMPLATE, "template.yaml")
    assert service.websocket is not None
    assert list(service.websocket.routes) == ["a"]
    left_out = [line for line in service.warnings if "leads to no Python function here" in line]
    assert [route in line for route, line in zip("bc", left_out, strict=True)] == [True, True]
    assert any("Nested (AWS::Serverless::Application) is not served here" in line for line in service.warnings)


def test_what_only_the_cloud_knows_is_named_as_set_takes_it(tmp_path: Path) -> None:
    text = """
    Parameters: { Secret: { Type: String } }
    Resources:
      Queue: { Type: AWS::SQS::Queue }
      Bucket: { Type: AWS::S3::Bucket, Properties: { BucketName: b } }
      F:
        Type: AWS::Serverless::Function
        Properties:
          Handler: index.f
          InlineCode: "def f(e, c): ..."
          Environment: { Variables: { A: !Ref Secret, B: !GetAtt Queue.Odd, C: !GetAtt Bucket.DomainName } }
    """
    message = refusal(tmp_path, text, "template.yaml")
    assert "--set Secret=…" in message
    assert "--set Queue.Odd=…" in message
    service = read(tmp_path, text, "template.yaml", overrides={"Secret": "x", "Queue.Odd": "y"})
    assert service.functions["F"].environment == {"A": "x", "B": "y", "C": "b.s3.amazonaws.com"}


CDK = """{
 "Resources": {
  "ConnectF1A2": {
   "Type": "AWS::Lambda::Function",
   "Properties": {
    "Code": {"S3Bucket": {"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"}, "S3Key": "abc.zip"},
    "Environment": {"Variables": {
     "TABLE": {"Ref": "TableCD117FA1"},
     "URL": {"Fn::Join": ["", ["https://", {"Ref": "Api94C4DBB1"}, ".execute-api.", {"Ref": "AWS::Region"}, ".", {"Ref": "AWS::URLSuffix"}, "/dev"]]}
    }},
    "Handler": "index.handler",
    "Role": {"Fn::GetAtt": ["RoleE0B0", "Arn"]},
    "Runtime": "python3.13"
   },
   "DependsOn": ["RoleE0B0"],
   "Metadata": {"aws:cdk:path": "S/Connect/Resource", "aws:asset:path": "asset.abc", "aws:asset:is-bundled": false, "aws:asset:property": "Code"}
  },
  "RoleE0B0": {"Type": "AWS::IAM::Role"},
  "TableCD117FA1": {"Type": "AWS::DynamoDB::Table", "Properties": {"BillingMode": "PAY_PER_REQUEST"}},
  "Api94C4DBB1": {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"Name": "Api", "ProtocolType": "WEBSOCKET", "RouteSelectionExpression": "$request.body.action"}},
  "Route7D7F8E15": {
   "Type": "AWS::ApiGatewayV2::Route",
   "Properties": {
    "ApiId": {"Ref": "Api94C4DBB1"}, "AuthorizationType": "NONE", "RouteKey": "$connect",
    "Target": {"Fn::Join": ["", ["integrations/", {"Ref": "Integration1A2B"}]]}
   }
  },
  "Integration1A2B": {
   "Type": "AWS::ApiGatewayV2::Integration",
   "Properties": {
    "ApiId": {"Ref": "Api94C4DBB1"}, "IntegrationType": "AWS_PROXY",
    "IntegrationUri": {"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":apigateway:", {"Ref": "AWS::Region"}, ":lambda:path/2015-03-31/functions/", {"Fn::GetAtt": ["ConnectF1A2", "Arn"]}, "/invocations"]]}
   }
  },
  "Stage": {"Type": "AWS::ApiGatewayV2::Stage", "Properties": {"ApiId": {"Ref": "Api94C4DBB1"}, "AutoDeploy": true, "StageName": "dev"}}
 },
 "Parameters": {"BootstrapVersion": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/cdk-bootstrap/hnb659fds/version"}}
}
"""  # noqa: E501  as CDK writes it


def test_a_template_that_cdk_has_made_runs_from_its_assets(tmp_path: Path) -> None:
    (tmp_path / "asset.abc").mkdir()
    (tmp_path / "asset.abc" / "index.py").write_text("def handler(event, context): ...\n")
    service = read(tmp_path, CDK, "Stack.template.json")
    assert check_handlers(service) == []
    (function,) = service.functions.values()
    assert function.code_root == tmp_path / "asset.abc"
    assert function.environment["URL"] == "http://127.0.0.1:8000/dev"
    assert function.environment["TABLE"] == service.tables[0].name
    assert service.websocket is not None
    assert (list(service.websocket.routes), service.websocket.stage) == (["$connect"], "dev")


IAM = """
Resources:
  F: { Type: AWS::Serverless::Function, Properties: { Handler: index.f, InlineCode: "def f(e, c): ..." } }
"""
BY_HAND = """
  Api: { Type: AWS::ApiGatewayV2::Api, Properties: { ProtocolType: WEBSOCKET } }
  To:
    Type: AWS::ApiGatewayV2::Integration
    Properties: { ApiId: !Ref Api, IntegrationUri: !GetAtt F.Arn, TimeoutInMillis: 500 }
  Route:
    Type: AWS::ApiGatewayV2::Route
    Properties: { ApiId: !Ref Api, RouteKey: $connect, Target: !Sub "integrations/${To}", AuthorizationType: AWS_IAM }
"""
BY_SAM = """
  Api:
    Type: AWS::Serverless::WebSocketApi
    Properties: { Auth: { AuthType: AWS_IAM }, Routes: { $connect: { FunctionArn: !GetAtt F.Arn } } }
"""


@pytest.mark.parametrize("api", [BY_HAND, BY_SAM], ids=["by hand", "by SAM"])
def test_a_websocket_api_for_iam_users_lets_nobody_in_and_says_so(tmp_path: Path, api: str) -> None:
    service = read(tmp_path, IAM + api, "template.yaml")
    assert service.websocket is not None
    assert service.websocket.authorizer == Unplayed("AWS_IAM")
    assert any("AUTHORIZER AWS_IAM" in line for line in service.warnings)


def test_the_time_limit_of_an_integration_is_read(tmp_path: Path) -> None:
    service = read(tmp_path, IAM + BY_HAND, "template.yaml")
    assert service.websocket is not None
    assert service.websocket.routes["$connect"].timeout == 0.5
