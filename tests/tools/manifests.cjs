// manifests.cjs PEERS - checks the Kubernetes objects on standard input, a JSON list, against the
// schemas of kubernetes-models in PEERS/npm. Prints a line for each object; exit status 1: one is invalid.
const path = require("path");
const fs = require("fs");

const models = path.resolve(process.argv[2], "npm", "node_modules", "kubernetes-models");
let failed = 0;
for (const object of JSON.parse(fs.readFileSync(0, "utf8"))) {
    try {
        const { [object.kind]: Model } = require(path.join(models, object.apiVersion, object.kind));
        new Model(object).validate();
        console.log(`${object.kind} ${object.metadata.name}: valid`);
    } catch (error) {
        failed = 1;
        console.log(`${object.kind}: ${error.message}`);
    }
}
process.exit(failed);
