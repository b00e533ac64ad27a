"""Holds exchanges of the JSON protocol, one JSON object a line, against the models of the services in botocore: what was
asked and what was answered must be of the shapes that AWS publishes. Prints what is not, and what no model knows."""

import json
import sys

import botocore.loaders
import botocore.model
import botocore.validate

# Errors that any operation may answer, which are not part of the models.
COMMON = {
    "AccessDeniedException", "ExpiredTokenException", "IncompleteSignatureException", "InvalidSignatureException",
    "MissingAuthenticationTokenException", "ThrottlingException", "UnknownOperationException",
    "UnrecognizedClientException", "ValidationException", "SerializationException",
}

loader = botocore.loaders.Loader()
models = {}
checked = 0
for line in sys.stdin:
    x = json.loads(line)
    name = x["Service"]
    if name not in models:
        models[name] = botocore.model.ServiceModel(loader.load_service_model(name, "service-2"))
    if x["Operation"] not in models[name].operation_names:
        print("SKIP", x["Operation"])
        continue
    op = models[name].operation_model(x["Operation"])
    validator = botocore.validate.ParamValidator()
    wrong = []
    if x["Status"] == 200:
        for what, shape in (("Input", op.input_shape), ("Output", op.output_shape)):
            report = validator.validate(x[what], shape)
            if report.has_errors():
                wrong.append(what + ": " + report.generate_report())
    else:
        code = x["Output"]["__type"].split("#")[-1]
        if code not in COMMON and code not in {s.name for s in op.error_shapes}:
            wrong.append("error " + code)
    for w in wrong:
        print("WRONG", x["Operation"], w.replace("\n", "; "))
    checked += 1
print("CHECKED", checked)
