"""Serving compared with other servers: single images, 16 kept connections, two workers each.

    python -m benchmarks.serving.peers [--seconds 5] [--rounds 3] [--only overnight,kserve]

The network is the classic Keras MNIST CNN (conv32, conv64, max-pooling, dense128, dense10), so
that inference is not negligible. It is trained for seconds on digits drawn with a font: nothing is
downloaded but the peers themselves, each into an environment of its own under .venv/peers, from the
exact versions in environments/.

What is measured. In each round every server is started afresh, in turn, and nothing else runs
meanwhile. Once it has answered and rests (all workers are up), it has to give the digits that Keras
gave to 20 images, by every lane; then a load generator of one thread and raw sockets keeps 16
connections busy with 64 images in turns, one second to warm up and SECONDS that count. Figures are
medians of the rounds.

- CPU a request: user and system time of all the server's processes, from /proc, over the answers
  in that time. It holds on a noisy machine; ratios are taken within a round, then their median.
- requests/s, p50, p99: on the clock, with the load generator on the same cores. With few answers
  (the tutorials' app gives some dozens) p99 is nearly the slowest of them.
- MB: resident size of all its processes, so that pages they share count in each; a worker is one
  of its two largest processes. `proportional_mb` in the results counts shared pages once.
- cold start: from the start of the process to the first right answer, with warm file caches and
  compiled bytecode; CPU of all its processes until then.
- the network alone: one inference by the runtime, in a loop, in process: the limit.

Unequal conditions:

- Ours runs int8 weights in LiteRT, which is what our pipeline exports. Peers that run their
  users' own code run the float network in ONNX Runtime on one thread, as their guides recommend;
  the difference of the two runtimes is in the table as `the network alone`, and is no property of
  the servers.
- How much int8 gains depends on the processor: with AVX-512 VNNI three times, with AVX2 alone a
  quarter or less. The results name the instructions that were there.
- Our model takes pixels as UINT8, and so do the peers; BentoML and MLflow take nested lists only,
  which cost more to parse.
- KServe's supervisor kills a worker that is silent for 5 s: on a machine so busy that starting one
  takes longer, it kills them again and again, and its figures mean nothing there.
- Ours answers without any log line. Of the peers those that log every request by default were
  configured not to, where a setting exists (BentoML, LitServe, MLServer, KServe's latency lines).
- Peers do what ours does not: LitServe, BentoML and MLServer pass requests to inference processes
  through queues, which pays for networks that take long or need batches, as on accelerators.
- Over gRPC, KServe answers in one process, ours and MLServer's in the ones that answer HTTP; the
  load generator is grpcio's client, which takes more of the same cores than that of HTTP. Triton's
  server and TensorFlow Serving's come as images of containers or packages of a distribution, not
  from a package index, and are not measured.
- The tutorials' app has one process of threads, since Flask's development server has no workers.
- Two cores hold two workers and the load generator: on more, all would answer faster.
"""
