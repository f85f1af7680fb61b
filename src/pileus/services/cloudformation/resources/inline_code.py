"""A function's code as text in its template, with the module that answers for custom resources.

As on AWS that module is there for such code alone, and only where it asks for it.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cfn-lambda-function-code-cfnresponsemodule.html
"""

from __future__ import annotations

import io
import zipfile

PYTHON = '''"""send(event, context, responseStatus, responseData): answer for a custom resource."""

import json
import urllib.request

SUCCESS, FAILED = "SUCCESS", "FAILED"


def send(
    event, context, responseStatus, responseData,
    physicalResourceId=None, noEcho=False, reason=None,
):
    body = json.dumps({
        "Status": responseStatus,
        "Reason": reason or "See the details in CloudWatch Log Stream: " + context.log_stream_name,
        "PhysicalResourceId": physicalResourceId or context.log_stream_name,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "NoEcho": noEcho,
        "Data": responseData,
    }).encode()
    request = urllib.request.Request(
        event["ResponseURL"], body, {"content-type": ""}, method="PUT"
    )
    try:
        with urllib.request.urlopen(request) as answer:
            print("Status code:", answer.status)
    except OSError as error:
        print("The response could not be sent:", error)
'''
NODE = """'use strict';
// send(event, context, responseStatus, responseData): answer for a custom resource.
const http = require('node:http');
const https = require('node:https');

exports.SUCCESS = 'SUCCESS';
exports.FAILED = 'FAILED';

exports.send = (event, context, responseStatus, responseData, physicalResourceId, noEcho) =>
  new Promise((resolve) => {
    const body = JSON.stringify({
      Status: responseStatus,
      Reason: `See the details in CloudWatch Log Stream: ${context.logStreamName}`,
      PhysicalResourceId: physicalResourceId || context.logStreamName,
      StackId: event.StackId,
      RequestId: event.RequestId,
      LogicalResourceId: event.LogicalResourceId,
      NoEcho: noEcho || false,
      Data: responseData,
    });
    const headers = { 'content-type': '', 'content-length': Buffer.byteLength(body) };
    const ended = (told) => {
      console.log(told);
      if (context.done) context.done();
      resolve();
    };
    const url = new URL(event.ResponseURL);
    const request = (url.protocol === 'http:' ? http : https).request(
      url, { method: 'PUT', headers }, (answer) => {
        answer.resume();
        ended(`Status code: ${answer.statusCode}`);
      });
    request.on('error', (error) => ended(`The response could not be sent: ${error.message}`));
    request.end(body);
  });
"""


def zipped(source: str, runtime: str) -> bytes:
    """``source`` as the module ``index`` of a zip."""
    if runtime.startswith("python"):
        files = {"index.py": source}
        if "cfnresponse" in source:
            files["cfnresponse.py"] = PYTHON
    else:
        modern = "import " in source and "export " in source
        files = {"index.mjs" if modern else "index.js": source}
        if "cfn-response" in source:
            files["node_modules/cfn-response/index.js"] = NODE
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as z:
        for name, text in files.items():
            z.writestr(zipfile.ZipInfo(name), text)
    return buffer.getvalue()
