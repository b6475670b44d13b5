// A client in JavaScript from devices.proto alone: lease a device, run a program on it, print what comes back.
//
// node client.js DEVICES.PROTO HOST:PORT IMAGE TARGET LENGTH INSN_COUNT
//
// IMAGE is a file whose program lies at its beginning and has addresses from 0 up; LENGTH bytes at TARGET are its result.

"use strict";

const fs = require("fs");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [proto, target, imageFile, resultAt, length, count] = process.argv.slice(2);
const definition = loader.loadSync(proto, { keepCase: true, longs: Number, oneofs: true });
const { Devices } = grpc.loadPackageDefinition(definition).weft.remote.v1;
const devices = new Devices(target, grpc.credentials.createInsecure());

const call = (name, request) =>
  new Promise((resolve, reject) => devices[name](request, (error, reply) => (error ? reject(error) : resolve(reply))));

async function main() {
  const { devices: offered } = await call("Describe", {});
  const stream = devices.Lease({ kind: "functional" });
  stream.on("error", () => {}); // cancelling below is one
  const granted = await new Promise((resolve) =>
    stream.on("data", (event) => event.granted && resolve(event.granted))
  );
  const lease = granted.lease;
  const image = fs.readFileSync(imageFile);
  const { address } = await call("Allocate", { lease, nbytes: image.length });
  await call("Write", { lease, address, data: image });
  const window = { begin: address, end: address + image.length };
  const memories = ["UOP", "WGT", "INP", "ACC", "OUT", "ACC_8BIT"];
  const report = await call("Launch", {
    lease,
    insn_address: address,
    insn_count: Number(count),
    bases: Object.fromEntries(memories.map((memory) => [memory, address])),
    windows: Object.fromEntries(memories.map((memory) => [memory, window])),
  });
  const { data } = await call("Read", { lease, address: address + Number(resultAt), nbytes: Number(length) });
  const refused = await call("Free", { lease, address: 3 }).catch((error) => error);
  stream.cancel();
  console.log(
    JSON.stringify({
      config: JSON.parse(offered[0].config_json),
      device: granted.device.name,
      instructions: report.instructions,
      cycles: report.cycles ?? null,
      result: data.toString("hex"),
      refusal: refused.details,
      kind: refused.metadata.get("weft-error-bin")[0].toString("latin1"),
    })
  );
  devices.close();
}

main();
