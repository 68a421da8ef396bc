import"./chunk-ULAFUIXV.js";
