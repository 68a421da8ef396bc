import"./chunk-5GPQ5G3G.js";
