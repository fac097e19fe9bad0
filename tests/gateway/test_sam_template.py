"""What stands in other people's SAM templates, and must not keep the rest from running."""

from __future__ import annotations

from pathlib import Path

from roost.gateway.definition import check_handlers
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
