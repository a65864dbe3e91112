// Points drawn by the graphics card. Where a browser only emulates one, drawing pixel by pixel is faster.

import { SHAPED, SLOTS } from "/static/js/palette.js";

const VERTEX = `#version 300 es
in vec2 place; in float slot; in float state; in float size;
uniform vec2 scale; uniform vec2 shift; uniform vec2 sizes; uniform vec3 opacity; uniform sampler2D palette; uniform vec3 ghost; uniform float rest;
out vec4 colour; flat out int shape;
void main() {
  float depth = state > 2.5 ? -0.5 : state < 1.5 ? 0.5 : slot < rest ? 0.0 : 0.2;
  gl_Position = state < 0.5 ? vec4(2.0, 2.0, 2.0, 1.0) : vec4(place * scale + shift, depth, 1.0);
  gl_PointSize = mix(sizes.x, sizes.y, size) * (state > 1.5 ? 1.0 : 0.7);
  vec4 texel = texelFetch(palette, ivec2(int(slot), 0), 0);
  vec3 own = texel.rgb;
  shape = state < 1.5 ? 0 : int(texel.a * 255.0 + 0.5);
  if (shape > 0) gl_PointSize *= ${SHAPED};
  colour = state < 1.5 ? vec4(ghost, opacity.x) : vec4(own, state < 2.5 ? opacity.y : opacity.z);
}`;
const FRAGMENT = `#version 300 es
precision mediump float;
in vec4 colour; flat in int shape; out vec4 shown;
void main() {
  vec2 at = gl_PointCoord - 0.5;
  bool inside = shape == 0 ? length(at) <= 0.5
    : shape == 1 ? max(abs(at.x), abs(at.y)) <= 0.42
    : shape == 2 ? abs(at.x) <= gl_PointCoord.y / 2.0
    : shape == 3 ? abs(at.x) + abs(at.y) <= 0.5
    : shape == 4 ? abs(at.x) <= (1.0 - gl_PointCoord.y) / 2.0
    : min(abs(at.x), abs(at.y)) <= 0.17;
  if (!inside) discard;
  shown = vec4(colour.rgb * colour.a, colour.a);
}`;

export class WebGlRenderer {
  constructor(canvas) {
    const gl = canvas.getContext("webgl2", { antialias: false });
    Object.assign(this, { canvas, gl, count: 0, buffers: {}, kept: {} });
    this.build();
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => {
      this.build();
      for (const [name, array] of Object.entries(this.kept)) this.upload(name, array);
      this.colours(this.palette);
    });
  }

  build() {
    const { gl } = this;
    this.program = gl.createProgram();
    for (const [type, source] of [
      [gl.VERTEX_SHADER, VERTEX],
      [gl.FRAGMENT_SHADER, FRAGMENT],
    ]) {
      const shader = gl.createShader(type);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(this.program, shader);
    }
    gl.linkProgram(this.program);
    if (!gl.getProgramParameter(this.program, gl.LINK_STATUS))
      throw new Error(gl.getProgramInfoLog(this.program) ?? "no program");
    gl.useProgram(this.program);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.enable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LEQUAL);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    for (const side of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER])
      gl.texParameteri(gl.TEXTURE_2D, side, gl.NEAREST);
    this.buffers = {};
  }

  /** Takes one value or pair per point: "place" (float32 x, y on end), "slot", "state" or "size" (bytes). */
  upload(name, array) {
    const { gl } = this;
    this.kept[name] = array;
    this.buffers[name] ??= gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name]);
    gl.bufferData(gl.ARRAY_BUFFER, array, gl.DYNAMIC_DRAW);
    const at = gl.getAttribLocation(this.program, name);
    gl.enableVertexAttribArray(at);
    if (name === "place") {
      this.count = array.length / 2;
      gl.vertexAttribPointer(at, 2, gl.FLOAT, false, 0, 0);
    } else gl.vertexAttribPointer(at, 1, gl.UNSIGNED_BYTE, name === "size", 0, 0);
  }

  colours(bytes) {
    const { gl } = this;
    this.palette = bytes;
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, SLOTS, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
  }

  draw({ scale, centre, width, height, ratio, sizes, opacity, ghost, rest, limit }) {
    const { gl, program } = this;
    const uniform = (name) => gl.getUniformLocation(program, name);
    gl.viewport(0, 0, width * ratio, height * ratio);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const [sx, sy] = [(2 * scale) / width, (2 * scale) / height];
    gl.uniform2f(uniform("scale"), sx, sy);
    gl.uniform2f(uniform("shift"), -centre[0] * sx, -centre[1] * sy);
    gl.uniform2f(uniform("sizes"), sizes[0] * ratio, sizes[1] * ratio);
    gl.uniform1f(uniform("rest"), rest);
    gl.uniform3f(uniform("opacity"), ...opacity);
    gl.uniform3f(uniform("ghost"), ...ghost.map((channel) => channel / 255));
    gl.drawArrays(gl.POINTS, 0, Math.min(limit, this.count));
  }
}

/** Whether there is a graphics card that is not played by the processor. */
export function hasGraphicsCard() {
  // A canvas that was once asked for WebGL draws nothing else.
  const gl = document.createElement("canvas").getContext("webgl2");
  const named = gl?.getExtension("WEBGL_debug_renderer_info");
  const card = named ? gl.getParameter(named.UNMASKED_RENDERER_WEBGL) : "";
  return Boolean(gl) && !/swiftshader|llvmpipe|softpipe|basic render/i.test(card);
}
