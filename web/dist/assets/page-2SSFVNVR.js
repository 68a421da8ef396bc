import"./chunk-HKU5POBF.js";
