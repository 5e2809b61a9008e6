// Search runs in a worker, and browsers start none for pages that are opened from a disk: there a hidden frame stands in.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.ready = new Promise((resolve) => (this.frame.onload = resolve));
      const script = new URL(url, document.baseURI).href.replaceAll("&", "&amp;").replaceAll('"', "&quot;");
      // A frame made of a text has its page's origin, so the two may speak with each other.
      this.frame.srcdoc = `<script>self.postMessage = (data) => parent.postMessage(data, "*");</script>
<script src="${script}"></script>`;
      this.receive = (event) => {
        if (event.source !== this.frame.contentWindow) return;
        event.stopImmediatePropagation();
        const message = new MessageEvent("message", { data: event.data });
        this.dispatchEvent(message);
        this.onmessage?.(message);
      };
      window.addEventListener("message", this.receive);
      document.body.append(this.frame);
    }

    postMessage(data) {
      // A copy, as a worker would get.
      const copy = structuredClone(data);
      this.ready.then(() => this.frame.contentWindow?.dispatchEvent(new MessageEvent("message", { data: copy })));
    }

    terminate() {
      window.removeEventListener("message", this.receive);
      this.frame.remove();
    }
  };
}
