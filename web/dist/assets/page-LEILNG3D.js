import"./chunk-VDN57YZZ.js";
