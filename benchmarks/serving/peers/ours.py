"""Our own server: two workers with production settings, started from a filled disk cache."""

from pathlib import Path

import numpy as np

from benchmarks.serving.peers import installation, network
from overnight.serving.agent import FollowConfig, HostAgent
from overnight.serving.wsgi import folder_of
from overnight.store.objects.memory import MemoryBucket
from overnight.store.objects.s3 import S3Address
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_rules import CHAMPION
from overnight.store.registry.registry import ModelRegistry
from overnight.store.schema import Schema, TensorSpec
from tests.support.serving import bundles
from tests.support.signing_keys import SIGNER, TRUST, alias_log, write_keys
from tests.support.waiting import until

# Nobody listens there: what is measured does not depend on a store.
NOWHERE = S3Address("http://127.0.0.1:9", "none", "none", "none")
TENSORS = Schema(
    inputs=(TensorSpec(name="image", datatype="UINT8", shape=(28, 28), minimum=0, maximum=255),),
    outputs=(TensorSpec(name="probabilities", datatype="FP32", shape=(10,)),),
    labels=tuple("0123456789"),
)
GOLDEN_ROWS = 5


def bundle() -> dict[str, bytes]:
    """The classic network as a version of ours: LiteRT, int8 weights, golden examples."""
    from ai_edge_litert.interpreter import Interpreter

    predictor = (installation.NETWORK / "network.tflite").read_bytes()
    images = network.sample(installation.NETWORK).images[:GOLDEN_ROWS]
    run = Interpreter(model_content=predictor, num_threads=1).get_signature_runner()
    answers = np.concatenate([run(image=image[None])["probabilities"] for image in images])
    return {"predictor.tflite": predictor, "golden.npz": bundles.archive(images, answers)}


def fill(home: Path) -> None:
    """Leave in `home` what serving leaves there once it has answered with a champion."""
    bucket, files = MemoryBucket(), bundle()
    write_keys(home)
    manifest = bundles.manifest(1, files, tensors=TENSORS)
    ModelRegistry(bucket, manifest.model).publish(manifest, files, SIGNER)
    log = alias_log(bucket, bundles.MODEL, CHAMPION)
    log.append(manifest.version, expected=None, actor=Actor("benchmark", "the classic network"))
    following = FollowConfig(
        folder=folder_of(home, NOWHERE),
        models=(),
        replica="benchmark",
        poll_seconds=0.001,
        threads=1,
        workers=1,
    )
    agent = HostAgent(bucket, following, TRUST)

    def is_filled() -> bool:
        agent.tick_leader()
        agent.tick_loader()
        return agent.slots.ready

    until(is_filled, what="a cache filled with the classic network")
    agent.stop()


def settings(home: Path) -> dict[str, str]:
    chosen = {
        "home": str(home),
        "replica": "benchmark",
        "serving_workers": "2",
        "s3_endpoint": NOWHERE.endpoint,
        "s3_bucket": NOWHERE.bucket,
    }
    return {f"OVERNIGHT_{name.upper()}": value for name, value in chosen.items()}
