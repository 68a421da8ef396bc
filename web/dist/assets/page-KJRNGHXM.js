import"./chunk-4LDO4KMT.js";
