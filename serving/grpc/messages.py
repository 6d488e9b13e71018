"""The messages of all services, in a descriptor pool of their own."""

from importlib import resources
from typing import Any

from google.protobuf import any_pb2, message_factory, wrappers_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

from overnight.serving.grpc.proto_files import parse_proto

_FILES = (
    "inference.proto",
    "tensorflow_error.proto",
    "tensorflow.proto",
    "tensorflow_serving.proto",
    "health.proto",
    "reflection.proto",
)
INFERENCE = "inference.GRPCInferenceService"
PREDICTION = "tensorflow.serving.PredictionService"
MODEL = "tensorflow.serving.ModelService"
HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1.ServerReflection"
# Tools of before 2023 know it by this name; the messages are the same.
REFLECTION_ALPHA = "grpc.reflection.v1alpha.ServerReflection"
SERVICES = (INFERENCE, PREDICTION, MODEL, HEALTH, REFLECTION, REFLECTION_ALPHA)


def _pool() -> DescriptorPool:
    pool = DescriptorPool()
    for known in (any_pb2, wrappers_pb2):
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
    for name in _FILES:
        pool.AddSerializedFile(_file(name).SerializeToString())
    alpha = _file("reflection.proto")
    alpha.name, alpha.package = "reflection_v1alpha.proto", "grpc.reflection.v1alpha"
    pool.AddSerializedFile(alpha.SerializeToString())
    return pool


def _file(name: str) -> FileDescriptorProto:
    folder = resources.files("overnight.serving.grpc") / "protos"
    return parse_proto(name, (folder / name).read_text())


POOL = _pool()


def message(name: str) -> Any:
    """The class of a message by its full name; it has no static type."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(name))


ModelInferRequest = message("inference.ModelInferRequest")
ModelInferResponse = message("inference.ModelInferResponse")
InferOutputTensor = message("inference.ModelInferResponse.InferOutputTensor")
InferTensorContents = message("inference.InferTensorContents")
PredictRequest = message("tensorflow.serving.PredictRequest")
PredictResponse = message("tensorflow.serving.PredictResponse")
ClassificationRequest = message("tensorflow.serving.ClassificationRequest")
ClassificationResponse = message("tensorflow.serving.ClassificationResponse")
TensorProto = message("tensorflow.TensorProto")
