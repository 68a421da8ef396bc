import"./chunk-24PCVSVV.js";
